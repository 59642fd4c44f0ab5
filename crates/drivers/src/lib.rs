//! Where agents live: implementations of `control`'s [`Driver`](creel_control::driver::Driver).
//!
//! Constructed in the binary's start-up only. Everything else knows the trait.

pub mod process;
