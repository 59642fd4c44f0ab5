//! Dialects of large language models: reading requests, converting them, framing streams, decoding usage, and what
//! usage costs.
//!
//! Bytes in, bytes out: nothing here does I/O, reads a clock or makes an id. The gateway is the only caller that
//! matters; `creel echo-llm` and the benches use the same code from the other side.
//!
//! A call goes [`request::Request::read`] → [`request::Request::for_upstream`] → [`answer::Answer`], the same for
//! every [`dialect::Dialect`] of the client and of the upstream.

pub mod answer;
pub mod convert;
pub mod dialect;
pub mod error;
mod event;
pub mod http1;
pub mod notice;
pub mod price;
pub mod request;
pub mod scan;
pub mod sse;
pub mod tokens;
pub mod usage;
mod whole;
