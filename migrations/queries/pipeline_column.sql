-- A column of the pipeline: the best leads in one status.
-- index: leads_status_score_idx
-- arguments: SELECT DISTINCT status FROM leads ORDER BY status
SELECT id, first_name, last_name, company, score, estimated_value
FROM leads
WHERE status = $1
ORDER BY score DESC, id DESC
LIMIT 25;
