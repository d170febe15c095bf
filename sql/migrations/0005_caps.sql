-- DESIGN 5: caps are reservations. An attempt reserves what it may cost from its claim on until nothing more can come of it;
-- what it filled counts as position from then on. Nothing is ever released: the sums are read from attempts and positions.

-- What an attempt reserves, and of whom.
ALTER TABLE bridge.attempt
    ADD COLUMN strategy_id uuid,
    ADD COLUMN side        text    NOT NULL DEFAULT 'buy' CHECK (side IN ('buy', 'sell')),
    ADD COLUMN quantity    numeric NOT NULL DEFAULT 0,   -- in base; of an order by worth the estimate by the book
    ADD COLUMN reserved    numeric NOT NULL DEFAULT 0,   -- in quote; 0: it can only make a position smaller
    -- It may still become, or grow, a position: unsettled, unknown, resting, or executed beyond the fills we have applied.
    ADD COLUMN live        boolean NOT NULL GENERATED ALWAYS AS (
        outcome IS NULL OR outcome = 'unknown'
        OR (outcome = 'accepted' AND (executed > filled OR exchange_status IS NULL
            OR exchange_status NOT IN ('FILLED', 'CANCELED', 'REJECTED', 'EXPIRED', 'EXPIRED_IN_MATCH')))) STORED;
CREATE INDEX attempt_live_user ON bridge.attempt (user_id) WHERE live;
CREATE INDEX position_user ON bridge.position (user_id) WHERE status = 'open';

-- One line per user whose orders have been claimed against caps. A claim raises the count only from the value its sums were read
-- with, so of two that race one passes and the other looks again.
CREATE TABLE bridge.cap (
    user_id uuid   PRIMARY KEY,
    claims  bigint NOT NULL
) WITH (fillfactor = 50);
