//! The dialects, and what differs between them in a request.

/// What a request is written in, or what an upstream understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI's `/v1/chat/completions`.
    Chat,
    /// OpenAI's `/v1/responses`.
    Responses,
    /// OpenAI's `/v1/embeddings`.
    Embeddings,
    /// Anthropic's `/v1/messages`.
    Messages,
    /// Anthropic's `/v1/messages/count_tokens`: asks how long a message is, and is free.
    CountTokens,
}

/// What a member of a request means to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Model,
    Stream,
    /// `{"include_usage": …}`
    StreamOptions,
    /// Most output tokens of each answer.
    Limit,
    /// How many answers.
    Answers,
    /// `{"budget_tokens": …}`, which must stay below the limit.
    Thinking,
    /// Answers later and elsewhere, where nobody would meter it.
    Background,
    /// Stands for input that is not in the body.
    Elsewhere,
}

/// The most members that any dialect has in its table.
pub(crate) const MEMBERS_MAX: usize = 7;

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 5] =
        [Self::Chat, Self::Responses, Self::Embeddings, Self::Messages, Self::CountTokens];

    /// Its name, for logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat_completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::Messages => "messages",
            Self::CountTokens => "count_tokens",
        }
    }

    /// The members that the gateway acts on. Each must stand once at most, for two parsers disagree about which of
    /// two counts, and one of them decides the price.
    pub(crate) fn members(self) -> &'static [(&'static str, Role)] {
        match self {
            Self::Chat => &[
                ("model", Role::Model),
                ("stream", Role::Stream),
                ("stream_options", Role::StreamOptions),
                ("max_tokens", Role::Limit),
                ("max_completion_tokens", Role::Limit),
                ("n", Role::Answers),
            ],
            Self::Responses => &[
                ("model", Role::Model),
                ("stream", Role::Stream),
                ("max_output_tokens", Role::Limit),
                ("background", Role::Background),
                ("previous_response_id", Role::Elsewhere),
                ("conversation", Role::Elsewhere),
                ("prompt", Role::Elsewhere),
            ],
            Self::Embeddings | Self::CountTokens => &[("model", Role::Model)],
            Self::Messages => &[
                ("model", Role::Model),
                ("stream", Role::Stream),
                ("max_tokens", Role::Limit),
                ("thinking", Role::Thinking),
            ],
        }
    }

    /// Answers are texts of a model, so that a limit of output tokens has a meaning.
    pub fn has_output(self) -> bool {
        !matches!(self, Self::Embeddings | Self::CountTokens)
    }

    /// A request in this dialect can be sent to an upstream of that one.
    pub fn converts_to(self, upstream: Self) -> bool {
        self == upstream
            || matches!((self, upstream), (Self::Chat, Self::Messages) | (Self::Messages, Self::Chat))
    }

    /// Its place behind the base URL of an upstream (`https://host/v1`).
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Responses => "/responses",
            Self::Embeddings => "/embeddings",
            Self::Messages => "/messages",
            Self::CountTokens => "/messages/count_tokens",
        }
    }

    /// Anthropic's, which writes errors and lists differently.
    pub fn is_anthropic(self) -> bool {
        matches!(self, Self::Messages | Self::CountTokens)
    }
}
