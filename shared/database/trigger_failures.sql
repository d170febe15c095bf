-- PROTOCOL 1: how often the trigger could not do its work; a sequence, because it survives the rollback of the bot's INSERT.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM bridge.trigger_failures
