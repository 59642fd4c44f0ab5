//! Packages whose names are nearly those of others.

use regex::Regex;

/// Names that others are made to look like.
const POPULAR: &[&str] = &[
    "requests",
    "numpy",
    "pandas",
    "urllib3",
    "cryptography",
    "beautifulsoup4",
    "selenium",
    "tensorflow",
    "pytorch",
    "django",
    "setuptools",
    "matplotlib",
    "scikit-learn",
    "sqlalchemy",
    "pillow",
    "openai",
    "anthropic",
    "langchain",
    "transformers",
    "playwright",
    "httpx",
    "aiohttp",
    "pydantic",
    "fastapi",
    "colorama",
    "python-dotenv",
    "paramiko",
    "boto3",
    "discord.py",
    "lodash",
    "express",
    "axios",
    "chalk",
    "commander",
    "cross-env",
    "typescript",
    "webpack",
    "puppeteer",
    "mongoose",
    "nodemailer",
    "electron",
    "dotenv",
    "react-dom",
    "socket.io",
    "jsonwebtoken",
    "bcrypt",
    "ethers",
    "web3",
    "openclaw",
    "clawhub",
];
/// Real packages with such names.
const REAL: &[&str] = &[
    "request",
    "clawdhub",
    "clawdbot",
    "moltbot",
    "panda",
    "http",
    "https",
    "httpx2",
    "aiohttp2",
    "expresso",
    "axis",
    "chalks",
    "lodash-es",
    "electrons",
    "bcryptjs",
    "ether",
    "web3js",
    "pydantics",
    "boto",
    "openapi",
    "fastap",
    "langchainhub",
    "dotenvx",
    "numpys",
    "torch",
    "chalk2",
    "colorama2",
    "selenium2",
    "commander2",
    "crypto",
    "mongoos",
    "python-docx",
    "djongo",
    "expres",
    "transformer",
];

/// A name in an install command or a list of requirements.
#[derive(Debug)]
pub(super) struct Lookalike {
    pub(super) offset: usize,
    pub(super) name: String,
    pub(super) of: &'static str,
}

/// The patterns, compiled once.
#[derive(Debug)]
pub(super) struct Supply {
    install: Regex,
    requirement: Regex,
    dependency: Regex,
}

impl Supply {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            install: Regex::new(
                r"(?m)\b(?:pip3?\s+install|uv\s+(?:pip\s+install|add)|pipx\s+install|npm\s+(?:i|install|add)|npx(?:\s+-y)?|pnpm\s+(?:add|dlx)|yarn\s+add|bun\s+add)\s+([^\n|;&`#)]{2,200})",
            )?,
            requirement: Regex::new(r"(?m)^([A-Za-z][A-Za-z0-9._-]{2,40})\s*(?:[=<>~!]=|$|\[)")?,
            dependency: Regex::new(r#""([a-z][a-z0-9._-]{2,40})"\s*:\s*"[\^~>=<*v]*\d"#)?,
        })
    }

    /// The names in a text that are one slip away from a popular one.
    pub(super) fn look_alikes(&self, path: &str, text: &str) -> Vec<Lookalike> {
        let mut found = Vec::new();
        let mut judge = |offset: usize, name: &str| {
            let name = name
                .trim_matches(['"', '\'', '`', ','])
                .split(['=', '<', '>', '~', '[', '@'])
                .next()
                .unwrap_or_default()
                .to_lowercase();
            if let Some(of) = look_alike(&name) {
                found.push(Lookalike { offset, name, of });
            }
        };
        for command in self.install.captures_iter(text) {
            let Some(words) = command.get(1) else { continue };
            for word in words.as_str().split_whitespace().filter(|word| !word.starts_with('-')) {
                judge(words.start(), word);
            }
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.starts_with("requirements") && name.ends_with(".txt") {
            for line in self.requirement.captures_iter(text) {
                if let Some(name) = line.get(1) {
                    judge(name.start(), name.as_str());
                }
            }
        }
        if name == "package.json" {
            for line in self.dependency.captures_iter(text) {
                if let Some(name) = line.get(1) {
                    judge(name.start(), name.as_str());
                }
            }
        }
        found
    }
}

fn look_alike(name: &str) -> Option<&'static str> {
    if name.len() < 5 || POPULAR.contains(&name) || REAL.contains(&name) {
        return None;
    }
    POPULAR.iter().find(|popular| popular.len() >= 5 && is_one_slip(name, popular)).copied()
}

/// One letter more, less, another, or two swapped.
fn is_one_slip(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let same_start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let same_end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (longer, shorter) = (a.len().max(b.len()), a.len().min(b.len()));
    match longer - shorter {
        0 if same_start + same_end + 1 == longer => true,
        0 if same_start + same_end + 2 == longer => {
            a.get(same_start) == b.get(same_start + 1) && a.get(same_start + 1) == b.get(same_start)
        }
        // A plural or a version is another package more often than a trap.
        1 => same_start + same_end >= shorter && same_start < shorter,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_packages_are_not() {
        for (name, of) in [
            ("reqeusts", Some("requests")),
            ("requsts", Some("requests")),
            ("nunpy", Some("numpy")),
            ("requests", None),
            ("request", None),
            ("lodahs", Some("lodash")),
            ("panel", None),
        ] {
            assert_eq!(look_alike(name), of, "{name}");
        }
        let supply = Supply::new().expect("the patterns are good");
        assert_eq!(supply.look_alikes("SKILL.md", "Run `pip install -U reqeusts pandas`").len(), 1);
        assert_eq!(supply.look_alikes("requirements.txt", "numpy==1\ncryptograhpy>=2\n").len(), 1);
        assert_eq!(supply.look_alikes("package.json", r#"{"dependencies": {"expresss": "^1.0"}}"#).len(), 0);
    }
}
