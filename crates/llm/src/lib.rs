//! Dialects of large language models: reading requests, framing streams, decoding usage, and what usage costs.
//!
//! Bytes in, bytes out: nothing here does I/O, reads a clock or makes an id. The gateway is the only caller that
//! matters; `creel echo-llm` and the benches use the same code from the other side.

pub mod openai;
pub mod price;
pub mod sse;
pub mod usage;
