-- Leads whom an advertisement brought to a page.
-- index: leads_utm_idx
-- arguments: SELECT jsonb_build_object('source', source, 'medium', 'paid', 'landing_pages', jsonb_build_array('/demo')) FROM unnest(ARRAY['search', 'social', 'partner']) AS source
SELECT id, company, status, estimated_value
FROM leads
WHERE metadata -> 'utm' @> $1;
