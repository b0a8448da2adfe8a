-- A page of a user's leads, the best first, after the last one of the page before.
-- index: leads_owner_score_idx
-- arguments: SELECT owner_id, score, id FROM leads WHERE owner_id IS NOT NULL ORDER BY id LIMIT 100
SELECT id, first_name, last_name, company, status, score
FROM leads
WHERE owner_id = $1 AND (score, id) < ($2, $3)
ORDER BY score DESC, id DESC
LIMIT 10;
