//! Keys and passwords that somebody left in a package, or planted.

use regex::Regex;

use crate::report::Severity;

/// A secret in a text.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) rule: &'static str,
    pub(super) severity: Severity,
    pub(super) offset: usize,
    pub(super) length: usize,
    pub(super) message: String,
}

/// The patterns, compiled once.
#[derive(Debug)]
pub(super) struct Secrets {
    known: Vec<(Regex, &'static str)>,
    assigned: Regex,
    private_key: Regex,
    placeholder: Regex,
}

/// Bits for a character, below which a text is a word and not a key.
const ENTROPY_MIN: f64 = 3.2;

impl Secrets {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let known = [
            (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", "an AWS access key"),
            (r"\bLTAI[0-9A-Za-z]{16,26}\b", "an Alibaba Cloud access key"),
            (
                r"\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{60,}\b",
                "a GitHub token",
            ),
            (r"\bglpat-[A-Za-z0-9_-]{20,}\b", "a GitLab token"),
            (r"\bsk-ant-[A-Za-z0-9_-]{40,}", "an Anthropic key"),
            (
                r"\bsk-(?:proj-)?[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}\b|\bsk-proj-[A-Za-z0-9_-]{60,}",
                "an OpenAI key",
            ),
            (r"\bAIza[0-9A-Za-z_-]{35}\b", "a Google API key"),
            (r"\bxox[abpors]-[0-9]{8,}-[0-9A-Za-z-]{16,}", "a Slack token"),
            (
                r"https://hooks\.slack\.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{20,}",
                "a Slack webhook",
            ),
            (r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b", "a Telegram bot's token"),
            (r"discord(?:app)?\.com/api/webhooks/[0-9]{15,20}/[A-Za-z0-9_-]{50,}", "a Discord webhook"),
            (r"\b(?:sk|rk)_live_[A-Za-z0-9]{20,}\b", "a Stripe key"),
            (r"\bnpm_[A-Za-z0-9]{36}\b", "an npm token"),
            (r"\bpypi-AgEI[A-Za-z0-9_-]{50,}", "a PyPI token"),
            (r"\bhf_[A-Za-z0-9]{34}\b", "a Hugging Face token"),
            (r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b", "a SendGrid key"),
        ];
        Ok(Self {
            known: known
                .into_iter()
                .map(|(pattern, what)| Ok((Regex::new(pattern)?, what)))
                .collect::<Result<_, regex::Error>>()?,
            assigned: Regex::new(
                r#"(?i)\b(?:api[_-]?key|secret(?:[_-]?(?:access)?[_-]?key)?|access[_-]?token|auth[_-]?token|private[_-]?key|client[_-]?secret|password|passwd)["']?\s*[:=]\s*["']([A-Za-z0-9+/_.=-]{24,128})["']"#,
            )?,
            private_key: Regex::new(
                r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----(?:\\n|\s)+[A-Za-z0-9+/=\\\s]{120,}",
            )?,
            placeholder: Regex::new(
                r"(?i)example|sample|dummy|placeholder|your|xxx|\*\*\*|\.\.\.|test|fake|mock|change|redacted|insert|replace|todo|demo|1234567|abcdef|0000|deadbeef|process\.|os\.|env|<|\$\{",
            )?,
        })
    }

    /// Every secret in `text`; `is_sample` where a file is a test or an example.
    pub(super) fn find(&self, text: &str, is_sample: bool) -> Vec<Secret> {
        let mut secrets = Vec::new();
        let known = if is_sample { Severity::Low } else { Severity::Medium };
        for (pattern, what) in &self.known {
            for found in pattern.find_iter(text).take(20) {
                if !self.placeholder.is_match(found.as_str()) && entropy(found.as_str()) >= ENTROPY_MIN {
                    secrets.push(Secret {
                        rule: "secret.known-format",
                        severity: known,
                        offset: found.start(),
                        length: found.len(),
                        message: format!(
                            "{what} stands in the text: it belongs to whoever can read the package"
                        ),
                    });
                }
            }
        }
        for found in self.private_key.find_iter(text).take(20) {
            secrets.push(Secret {
                rule: "secret.private-key",
                severity: if is_sample { Severity::Low } else { Severity::High },
                offset: found.start(),
                length: found.len(),
                message: "a private key stands in the text".to_owned(),
            });
        }
        for found in self.assigned.captures_iter(text).take(50) {
            let Some(value) = found.get(1) else { continue };
            let mixed = value.as_str().bytes().any(|b| b.is_ascii_digit())
                && value.as_str().bytes().any(|b| b.is_ascii_alphabetic());
            if mixed && !self.placeholder.is_match(value.as_str()) && entropy(value.as_str()) >= 3.6 {
                secrets.push(Secret {
                    rule: "secret.assigned",
                    severity: Severity::Low,
                    offset: value.start(),
                    length: value.len(),
                    message: "what looks like a key or password stands in the text".to_owned(),
                });
            }
        }
        secrets
    }
}

/// Bits for a character.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let total = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_and_placeholders_are_not() {
        let secrets = Secrets::new().expect("the patterns are good");
        // Put together here, so that nobody's scanner takes them for real.
        let real = format!("key = \"{}{}\"", "ghp", "_k3Jd8sLq9ZpXw2Vb7NcMr4Ty6Uh1Ga5Ef0Qi");
        assert_eq!(secrets.find(&real, false).len(), 1);
        assert_eq!(
            secrets.find("AKIAIOSFODNN7EXAMPLE and ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", false).len(),
            0
        );
        assert_eq!(secrets.find("API_KEY = \"your-api-key-goes-in-here-please-1\"", false).len(), 0);
        let generic = format!("client_secret: \"{}{}\"", "q8Zr3Lk9", "Wm2Xv7Tn4Bc6Hd1Jf5Ps0Yg");
        assert_eq!(secrets.find(&generic, false).first().map(|found| found.rule), Some("secret.assigned"));
    }
}
