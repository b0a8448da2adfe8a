-- Messages that a provider took several attempts to deliver.
-- index: communications_metadata_idx
-- arguments: SELECT jsonb_build_object('provider', provider, 'attempts', 3) FROM unnest(ARRAY['relay-1', 'relay-2']) AS provider
SELECT id, lead_id, channel, status
FROM communications
WHERE metadata @> $1
ORDER BY created_at DESC, id DESC
LIMIT 25;
