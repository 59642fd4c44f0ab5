//! The names by which the gateway knows chat completions, as long as it speaks no other dialect.

/// Requests.
pub mod chat {
    pub use crate::request::{OutputField, RequestError as ChatRequestError, Rewrite};

    use crate::dialect::Dialect;
    use crate::request::Request;

    /// A [`Request`] for a chat completion.
    #[derive(Debug, Clone)]
    pub struct ChatRequest(Request);

    impl ChatRequest {
        /// Reads a body: see [`Request::read`].
        pub fn read(body: &[u8]) -> Result<Self, ChatRequestError> {
            Request::read(Dialect::Chat, body).map(Self)
        }
    }

    impl std::ops::Deref for ChatRequest {
        type Target = Request;

        fn deref(&self) -> &Request {
            &self.0
        }
    }
}

/// Answers that are not streamed.
pub mod answer {
    pub use crate::whole::AnswerScanner;
}

/// What the gateway itself says.
pub mod error {
    pub use crate::error::ErrorBody;
    pub use crate::notice::Notice;
}
