//! creel-llm
