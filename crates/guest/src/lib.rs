//! creel-guest
