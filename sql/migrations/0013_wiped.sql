-- DESIGN 6: a wiped testnet holds nothing of what was there before. Such a holding's open life is closed without a fill; its fills
-- are what they were, so nobody folds it again.
ALTER TABLE bridge.holding ADD COLUMN wiped_at timestamptz;
