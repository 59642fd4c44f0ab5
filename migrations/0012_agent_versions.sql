-- Lists filter by the version of the agent.
CREATE INDEX runtime_observed_version ON runtime_observed (account_id, agent_version, runtime_id);
