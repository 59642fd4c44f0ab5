//! What crosses a border: identifiers, error codes, signatures, parameters, the input and output of every
//! operation, the messages between server and guest, and money. Nothing here does I/O or reads a clock.

pub mod error;
pub mod guest;
pub mod id;
pub mod money;
pub mod ops;
pub mod oss;
pub mod params;
pub mod price;
pub mod secret;
pub mod sign;
pub mod skill_content;
pub mod time;
pub mod words;
