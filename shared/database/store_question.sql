-- PROTOCOL 7. $1 order  $2 number  $3 kind  $4 sent after  $5 result  $6 detail  $7 key hash  $8 uid  $9 environment  $10 epoch
INSERT INTO bridge.question (order_id, number, kind, sent_after_ms, result, detail, api_key_hash, account_uid, environment, epoch)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
