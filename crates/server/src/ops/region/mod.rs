//! Regions: here, the one that the server is configured as.

pub(crate) mod describe_regions;
