-- Removes the audit trail of the agents.
DROP TABLE agent_decisions;
