-- Leads by what is known of their company.
-- index: leads_metadata_idx
-- arguments: SELECT jsonb_build_object('segment', 'enterprise', 'company', jsonb_build_object('industry', industry)) FROM unnest(ARRAY['energy', 'legal', 'media', 'retail', 'travel']) AS industry
SELECT id, first_name, last_name, company, score
FROM leads
WHERE metadata @> $1
ORDER BY score DESC, id
LIMIT 25;
