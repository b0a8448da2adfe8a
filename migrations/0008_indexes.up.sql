-- no-transaction
-- The indexes of the application's queries: 58, each under the name of the query in queries/ that it serves.
-- CONCURRENTLY, so that the application can write while they are built; PostgreSQL does not allow that in a
-- transaction, so `pgkeel migrate` sends one statement at a time. If it is interrupted, the next `up` keeps
-- what is built, drops what was left invalid, and goes on.
-- Days and hours are those of UTC: an index takes only what does not depend on a session's time zone.

-- login
CREATE INDEX CONCURRENTLY users_login_idx ON users (lower(email)) WHERE status = 'active';

-- lead_by_email
CREATE INDEX CONCURRENTLY leads_lower_email_idx ON leads (lower(email));

-- leads_of_owner
CREATE INDEX CONCURRENTLY leads_owner_score_idx ON leads (owner_id, score DESC, id DESC);

-- leads_of_owner_by_status
CREATE INDEX CONCURRENTLY leads_owner_status_idx ON leads (owner_id, status, created_at DESC);

-- pipeline_column
CREATE INDEX CONCURRENTLY leads_status_score_idx ON leads (status, score DESC, id DESC);

-- campaign_pipeline
CREATE INDEX CONCURRENTLY leads_campaign_status_idx ON leads (campaign_id, status);

-- leads_of_country
CREATE INDEX CONCURRENTLY leads_country_created_idx ON leads (country, created_at DESC);

-- leads_not_contacted
CREATE INDEX CONCURRENTLY leads_uncontacted_idx ON leads (owner_id, created_at) WHERE last_contacted_at IS NULL;

-- leads_without_owner
CREATE INDEX CONCURRENTLY leads_unassigned_idx ON leads (score DESC, created_at) WHERE owner_id IS NULL;

-- leads_by_name
CREATE INDEX CONCURRENTLY leads_name_idx ON leads (lower(last_name), lower(first_name));

-- leads_of_company
CREATE INDEX CONCURRENTLY leads_company_idx ON leads (lower(company), score DESC);

-- largest_deals
CREATE INDEX CONCURRENTLY leads_open_value_idx ON leads
    (estimated_value DESC, id DESC) WHERE status IN ('qualified', 'proposal');

-- leads_to_follow_up
CREATE INDEX CONCURRENTLY leads_follow_up_idx ON leads
    (owner_id, last_contacted_at) WHERE status IN ('contacted', 'qualified', 'proposal');

-- leads_by_day
CREATE INDEX CONCURRENTLY leads_day_idx ON leads (date_trunc('day', created_at AT TIME ZONE 'UTC'), source);

-- leads_of_segment
CREATE INDEX CONCURRENTLY leads_metadata_idx ON leads USING gin (metadata jsonb_path_ops);

-- leads_by_interest
CREATE INDEX CONCURRENTLY leads_interests_idx ON leads USING gin ((metadata -> 'interests'));

-- leads_of_advertisement
CREATE INDEX CONCURRENTLY leads_utm_idx ON leads USING gin ((metadata -> 'utm') jsonb_path_ops);

-- lead_search
CREATE INDEX CONCURRENTLY leads_search_idx ON leads
    USING gin (to_tsvector('english', first_name || ' ' || last_name || ' ' || company || ' ' || job_title));

-- enrolments_of_campaign
CREATE INDEX CONCURRENTLY lead_campaigns_campaign_status_idx ON lead_campaigns
    (campaign_id, status, enrolled_at DESC);

-- enrolments_to_start
CREATE INDEX CONCURRENTLY lead_campaigns_pending_idx ON lead_campaigns
    (enrolled_at, lead_id) WHERE status = 'pending';

-- campaign_funnel
CREATE INDEX CONCURRENTLY lead_campaigns_funnel_idx ON lead_campaigns (campaign_id, step_id);

-- enrolments_at_step
CREATE INDEX CONCURRENTLY lead_campaigns_step_status_idx ON lead_campaigns (step_id, status, enrolled_at);

-- lead_history
CREATE INDEX CONCURRENTLY communications_lead_created_idx ON communications (lead_id, created_at DESC, id DESC);

-- lead_last_call
CREATE INDEX CONCURRENTLY communications_lead_channel_idx ON communications (lead_id, channel, created_at DESC);

-- campaign_analytics
CREATE INDEX CONCURRENTLY communications_campaign_result_idx ON communications (campaign_id, channel, status);

-- campaign_day
CREATE INDEX CONCURRENTLY communications_campaign_day_idx ON communications
    (campaign_id, date_trunc('day', sent_at AT TIME ZONE 'UTC'));

-- user_activity
CREATE INDEX CONCURRENTLY communications_user_created_idx ON communications (user_id, created_at DESC);

-- delivery_problems
CREATE INDEX CONCURRENTLY communications_problem_idx ON communications
    (created_at DESC, id DESC) WHERE status IN ('bounced', 'failed');

-- inbound_stream
CREATE INDEX CONCURRENTLY communications_inbound_idx ON communications
    (created_at DESC, id DESC) WHERE direction = 'inbound';

-- scheduled_sends
CREATE INDEX CONCURRENTLY communications_queue_idx ON communications (created_at, id) WHERE status = 'queued';

-- best_hour
CREATE INDEX CONCURRENTLY communications_hour_idx ON communications
    (channel, extract(isodow FROM sent_at AT TIME ZONE 'UTC'), extract(hour FROM sent_at AT TIME ZONE 'UTC'));

-- sends_by_attempts
CREATE INDEX CONCURRENTLY communications_metadata_idx ON communications USING gin (metadata jsonb_path_ops);

-- communication_search
CREATE INDEX CONCURRENTLY communications_search_idx ON communications
    USING gin (to_tsvector('english', coalesce(subject, '') || ' ' || body));

-- open_tasks
CREATE INDEX CONCURRENTLY tasks_open_idx ON tasks (assignee_id, due_at, id) WHERE status = 'open';

-- urgent_tasks
CREATE INDEX CONCURRENTLY tasks_urgent_idx ON tasks (status, priority, due_at);

-- tasks_of_lead
CREATE INDEX CONCURRENTLY tasks_lead_status_idx ON tasks (lead_id, status, due_at);

-- tasks_done
CREATE INDEX CONCURRENTLY tasks_done_idx ON tasks (assignee_id, completed_at DESC);

-- calendar_day
CREATE INDEX CONCURRENTLY tasks_day_idx ON tasks (date_trunc('day', due_at AT TIME ZONE 'UTC'), status);

-- inbox
CREATE INDEX CONCURRENTLY conversations_inbox_idx ON conversations (status, last_message_at DESC, id DESC);

-- inbox_of_user
CREATE INDEX CONCURRENTLY conversations_user_inbox_idx ON conversations
    (assigned_user_id, status, last_message_at DESC);

-- conversation_of_lead
CREATE INDEX CONCURRENTLY conversations_lead_created_idx ON conversations (lead_id, created_at DESC);

-- escalations
CREATE INDEX CONCURRENTLY conversations_escalated_idx ON conversations (created_at, id) WHERE status = 'escalated';

-- closed_by_week
CREATE INDEX CONCURRENTLY conversations_closed_week_idx ON conversations
    (date_trunc('week', closed_at AT TIME ZONE 'UTC'), channel);

-- conversations_by_sentiment
CREATE INDEX CONCURRENTLY conversations_metadata_idx ON conversations USING gin (metadata jsonb_path_ops);

-- conversations_by_topic
CREATE INDEX CONCURRENTLY conversations_topics_idx ON conversations USING gin ((metadata -> 'topics'));

-- latest_message
CREATE INDEX CONCURRENTLY messages_latest_idx ON messages (conversation_id, created_at DESC, id DESC);

-- message_stream
CREATE INDEX CONCURRENTLY messages_sender_created_idx ON messages (sender, created_at DESC);

-- messages_by_day
CREATE INDEX CONCURRENTLY messages_day_idx ON messages (date_trunc('day', created_at AT TIME ZONE 'UTC'), sender);

-- unhappy_messages
CREATE INDEX CONCURRENTLY messages_metadata_idx ON messages USING gin (metadata jsonb_path_ops);

-- message_search
CREATE INDEX CONCURRENTLY messages_search_idx ON messages USING gin (to_tsvector('english', body));

-- decisions_of_agent
CREATE INDEX CONCURRENTLY agent_decisions_agent_idx ON agent_decisions (agent_id, decided_at DESC, id DESC);

-- decisions_about_lead
CREATE INDEX CONCURRENTLY agent_decisions_lead_idx ON agent_decisions (lead_id, decided_at DESC, id DESC);

-- decisions_to_review
CREATE INDEX CONCURRENTLY agent_decisions_review_idx ON agent_decisions
    (confidence, decided_at) WHERE status = 'proposed';

-- decisions_by_action
CREATE INDEX CONCURRENTLY agent_decisions_action_idx ON agent_decisions (action, status, decided_at DESC);

-- agent_summary
CREATE INDEX CONCURRENTLY agent_decisions_summary_idx ON agent_decisions (agent_id, action, status);

-- decisions_reviewed
CREATE INDEX CONCURRENTLY agent_decisions_reviewer_idx ON agent_decisions (reviewed_by, updated_at DESC);

-- decisions_by_day
CREATE INDEX CONCURRENTLY agent_decisions_day_idx ON agent_decisions
    (date_trunc('day', decided_at AT TIME ZONE 'UTC'), action);

-- decisions_by_signal
CREATE INDEX CONCURRENTLY agent_decisions_context_idx ON agent_decisions USING gin (context jsonb_path_ops);
