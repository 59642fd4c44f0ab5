//! A value that must not be printed.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// Text that is wiped when dropped and shows as `[secret]` in every debug output.
///
/// It has no `Display`. It is `Serialize` only where a message must carry it (the guest link, an enrolment
/// answer): never derive `Serialize` for something that is logged and holds one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes ownership of the clear text.
    pub fn new(clear: String) -> Self {
        Self(clear)
    }

    /// The clear text; the name makes each use visible in review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_text() {
        assert_eq!(format!("{:?}", Secret::new("sk-1".into())), "[secret]");
    }
}
