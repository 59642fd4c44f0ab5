//! creel-testkit
