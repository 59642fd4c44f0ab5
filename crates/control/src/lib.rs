//! creel-control
