//! What usage costs: the arithmetic stands in `creel_wire::price`, where the ledger uses it too.

pub use creel_wire::price::{MULTIPLIER_ONE, RateCard, bound};
