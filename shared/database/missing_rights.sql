-- Which rights on the bot's tables this role lacks. $1 rights  $2 columns ('' = the whole table)  $3 tables
SELECT DISTINCT r.priv || CASE r.col WHEN '' THEN '' ELSE ' (' || r.col || ')' END || ' ON public.' || r.tab AS missing
  FROM unnest($1::text[], $2::text[], $3::text[]) AS r (priv, col, tab)
 WHERE to_regclass('public.' || r.tab) IS NOT NULL
   AND NOT CASE r.col WHEN '' THEN has_table_privilege('public.' || r.tab, r.priv)
                      ELSE has_column_privilege('public.' || r.tab, r.col, r.priv) END
 ORDER BY 1
