-- What is due on a day.
-- index: tasks_day_idx
-- arguments: SELECT day, 'open' FROM generate_series(timestamp '2025-12-20', '2026-01-15', '1 day') AS day
SELECT id, assignee_id, lead_id, title, priority, due_at
FROM tasks
WHERE date_trunc('day', due_at AT TIME ZONE 'UTC') = $1 AND status = $2
ORDER BY due_at, id;
