//! creel-drivers
