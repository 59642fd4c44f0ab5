//! Policies that come with Creel.

use std::sync::LazyLock;

use super::Policy;

/// A policy that every account has; its name cannot be given to another.
#[derive(Debug)]
pub struct SystemPolicy {
    pub name: &'static str,
    pub description: &'static str,
    pub document: &'static str,
}

/// All of them.
pub const SYSTEM_POLICIES: [SystemPolicy; 3] = [
    SystemPolicy {
        name: "FullAccess",
        description: "Everything in the account but the keys of its root.",
        document: r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
    },
    SystemPolicy {
        name: "ReadOnlyAccess",
        description: "To see everything and change nothing.",
        // All that get but GetOssStsToken, which gives leave to upload. A statement that denies it would win over
        // whatever else a principal is given.
        document: r#"{"Version":"1","Statement":[{"Effect":"Allow","Resource":"*","Action":[
            "*:Describe*","*:List*","*:GetModel*","*:GetParse*","*:GetPolicy","*:GetRuntime*","*:GetSkill*"]}]}"#,
    },
    SystemPolicy {
        name: "AgentOperator",
        description: "To see agents, start and stop them, and send them messages.",
        document: r#"{"Version":"1","Statement":[
            {"Effect":"Allow","Resource":"*","Action":[
                "ecd:DescribeDesktops","ecd:StartDesktops","ecd:StopDesktops","ecd:RebootDesktops",
                "appstreaming:ListDesktopAgentRuntime",
                "creel:SendAgentMessage","creel:DescribeAgentMessages","creel:DescribeAgentReceipts"]}]}"#,
    },
];

/// What whoever acts for an end user may do, and nothing else; operations then show the end user's own rows alone.
const END_USER: &str = r#"{"Version":"1","Statement":[
    {"Effect":"Allow","Resource":"*","Action":[
        "appstreaming:ListDesktopAgentRuntime","ecd:DescribeDesktops",
        "creel:SendAgentMessage","creel:DescribeAgentMessages","creel:DescribeAgentReceipts",
        "creel:DescribeLedgerEntries","ecd:DescribeCreditUsageInfo","creel:ListCapturePolicies"]}]}"#;

/// The system policy of this name.
pub fn find_system_policy(name: &str) -> Option<&'static SystemPolicy> {
    SYSTEM_POLICIES.iter().find(|policy| policy.name == name)
}

/// The one policy of principals of end users.
pub fn end_user_policy() -> &'static Policy {
    #[expect(clippy::expect_used, reason = "the document is a constant, which a test parses")]
    static POLICY: LazyLock<Policy> =
        LazyLock::new(|| Policy::parse("EndUser", END_USER).expect("the built-in policy is valid"));
    &POLICY
}
