-- The primary key begins with account, market, epoch and symbol, which is what everybody asks for; a second index over nearly the
-- same columns cost every fill an entry more, and drew plans that read all fills of a symbol to find one.
DROP INDEX bridge.fill_position;
