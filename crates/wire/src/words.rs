//! Names that drift: what the provider's pages, SDKs and consoles call one and the same thing.
//!
//! JVS Computer was JVS Claw and is Agentic Computer on newer pages; enumerations are spelled `JVS_CLAW` in one API and
//! `JVSClaw` in the next. Every spelling is accepted wherever such a name is, from this one table; what is answered is
//! the documented spelling.

/// A program or product that the API has a name for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AgentName {
    OpenClaw,
    /// OpenClaw as a product of its own, on the platform `ENTERPRISE_JVS`.
    JvsComputer,
    HermesAgent,
    /// Of model groups: for any program.
    Common,
    /// Not offered here; it has a name so that a filter for it finds nothing instead of being wrong.
    JvsCopilot,
    /// Not an agent, yet an AgentType of the credit operations.
    CreditPackage,
}

/// Spellings without case, spaces, `-` and `_`; the first is the documented one.
const NAMES: &[(AgentName, &[&str])] = &[
    (AgentName::OpenClaw, &["openclaw"]),
    (AgentName::JvsComputer, &["jvscomputer", "jvsclaw", "agenticcomputer"]),
    (AgentName::HermesAgent, &["hermesagent", "hermes"]),
    (AgentName::Common, &["common"]),
    (AgentName::JvsCopilot, &["jvscopilot"]),
    (AgentName::CreditPackage, &["creditpackage"]),
];

/// Platforms as documented, with their spellings as in [`NAMES`].
const PLATFORMS: &[(&str, &[&str])] = &[
    ("ENTERPRISE", &["enterprise"]),
    ("ENTERPRISE_JVS", &["enterprisejvs", "jvs"]),
    ("COMMON", &["common"]),
];

/// A word in the form in which spellings are compared.
fn folded(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

impl AgentName {
    /// What any spelling names.
    pub fn find(text: &str) -> Option<Self> {
        let text = folded(text);
        NAMES.iter().find(|(_, spellings)| spellings.contains(&text.as_str())).map(|(name, _)| *name)
    }

    /// The documented AgentProvider of it; a JVS Computer's program is OpenClaw.
    pub fn provider(self) -> Option<&'static str> {
        match self {
            AgentName::OpenClaw | AgentName::JvsComputer => Some("OpenClaw"),
            AgentName::HermesAgent => Some("HermesAgent"),
            AgentName::Common => Some("Common"),
            AgentName::JvsCopilot | AgentName::CreditPackage => None,
        }
    }
}

/// The documented AgentProvider that any spelling names.
pub fn agent_provider(text: &str) -> Option<&'static str> {
    AgentName::find(text).and_then(AgentName::provider)
}

/// The documented AgentPlatform that any spelling names.
pub fn agent_platform(text: &str) -> Option<&'static str> {
    let text = folded(text);
    PLATFORMS.iter().find(|(_, spellings)| spellings.contains(&text.as_str())).map(|(word, _)| *word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_in_use_names_one_thing() {
        use AgentName::{Common, CreditPackage, HermesAgent, JvsComputer, JvsCopilot, OpenClaw};
        for (spellings, name, provider) in [
            (vec!["OpenClaw", "OPEN_CLAW", "openclaw"], OpenClaw, Some("OpenClaw")),
            (
                vec![
                    "JVS Claw",
                    "JVS_CLAW",
                    "JVSClaw",
                    "JVS Computer",
                    "JVSComputer",
                    "Agentic Computer",
                    "AgenticComputer",
                ],
                JvsComputer,
                Some("OpenClaw"),
            ),
            (vec!["HermesAgent", "Hermes Agent", "Hermes"], HermesAgent, Some("HermesAgent")),
            (vec!["Common", "COMMON"], Common, Some("Common")),
            (vec!["JVSCopilot", "JVS_COPILOT"], JvsCopilot, None),
            (vec!["CREDIT_PACKAGE", "CreditPackage"], CreditPackage, None),
        ] {
            for spelling in spellings {
                assert_eq!(AgentName::find(spelling), Some(name), "{spelling}");
                assert_eq!(agent_provider(spelling), provider, "{spelling}");
            }
        }
        for unknown in ["", "Claw", "OpenClaw2", "Robot"] {
            assert_eq!(AgentName::find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn platforms_are_answered_as_documented() {
        for (text, found) in [
            ("ENTERPRISE", Some("ENTERPRISE")),
            ("Enterprise_Jvs", Some("ENTERPRISE_JVS")),
            ("common", Some("COMMON")),
            ("CLOUD", None),
        ] {
            assert_eq!(agent_platform(text), found, "{text}");
        }
    }

    #[test]
    fn no_spelling_stands_twice() {
        let mut all: Vec<&str> = NAMES.iter().flat_map(|(_, spellings)| spellings.iter().copied()).collect();
        assert!(all.iter().all(|spelling| folded(spelling) == *spelling));
        all.sort_unstable();
        let total = all.len();
        all.dedup();
        assert_eq!(all.len(), total);
    }
}
