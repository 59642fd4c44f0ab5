//! What runtimes can be made from: images, bundles, desktop types. Fixed by this version of Creel; the ids of the
//! OpenClaw images and of the JVS Computer bundle are the provider's own, so that scripts work unchanged.

use creel_wire::guest::AgentProvider;

/// Operating system of an image, in the API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OsType {
    Linux,
    Windows,
}

impl OsType {
    /// `Linux` or `Windows`.
    pub fn as_str(self) -> &'static str {
        match self {
            OsType::Linux => "Linux",
            OsType::Windows => "Windows",
        }
    }
}

/// An image that a runtime can be made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    pub id: &'static str,
    pub name: &'static str,
    pub description: &'static str,
    pub os_type: OsType,
    /// `Ubuntu`, `Windows 10`.
    pub platform: &'static str,
    pub agent_provider: AgentProvider,
    /// System disk, GiB.
    pub size_gib: i64,
}

/// A size of runtime: its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DesktopType {
    pub id: &'static str,
    pub family: &'static str,
    pub cpu_count: i64,
    pub memory_mib: i64,
}

/// An image and a size under one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundle {
    pub id: &'static str,
    pub name: &'static str,
    pub description: &'static str,
    pub image_id: &'static str,
    pub desktop_type: &'static str,
    /// A JVS Computer: gets an outer `jvs-…` id and the platform ENTERPRISE_JVS.
    pub is_jvs: bool,
}

/// When the catalogue's entries came to be, as the API shows it.
pub const CATALOG_CREATED_MS: i64 = 1_767_225_600_000;

/// All images.
pub const IMAGES: &[Image] = &[
    Image {
        id: "imgc-0ae8jvkn4tzatayay",
        name: "OpenClaw Ubuntu 22.04",
        description: "OpenClaw on Linux",
        os_type: OsType::Linux,
        platform: "Ubuntu",
        agent_provider: AgentProvider::OpenClaw,
        size_gib: 40,
    },
    Image {
        id: "imgc-0aae4rxv3pz7idcot",
        name: "OpenClaw Windows 11",
        description: "OpenClaw on Windows; stays Pending until a host that can run it joins",
        os_type: OsType::Windows,
        platform: "Windows 11",
        agent_provider: AgentProvider::OpenClaw,
        size_gib: 60,
    },
];

/// All bundles.
pub const BUNDLES: &[Bundle] = &[Bundle {
    id: "b-openclaw-linux",
    name: "JVS Computer",
    description: "OpenClaw on Linux with monthly credits",
    image_id: "imgc-0ae8jvkn4tzatayay",
    desktop_type: "cloud.space.4c.8g",
    is_jvs: true,
}];

/// All desktop types, smallest first.
pub const DESKTOP_TYPES: &[DesktopType] = &[
    DesktopType { id: "cloud.space.2c.4g", family: "cloud.space", cpu_count: 2, memory_mib: 4096 },
    DesktopType { id: "cloud.space.4c.8g", family: "cloud.space", cpu_count: 4, memory_mib: 8192 },
    DesktopType { id: "cloud.space.8c.16g", family: "cloud.space", cpu_count: 8, memory_mib: 16384 },
    DesktopType { id: "eds.general.2c4g", family: "eds.general", cpu_count: 2, memory_mib: 4096 },
    DesktopType { id: "eds.general.2c8g", family: "eds.general", cpu_count: 2, memory_mib: 8192 },
    DesktopType {
        id: "eds.enterprise_office.4c8g",
        family: "eds.enterprise_office",
        cpu_count: 4,
        memory_mib: 8192,
    },
    DesktopType {
        id: "eds.enterprise_office.8c16g",
        family: "eds.enterprise_office",
        cpu_count: 8,
        memory_mib: 16384,
    },
];

/// The image with this id.
pub fn find_image(id: &str) -> Option<&'static Image> {
    IMAGES.iter().find(|image| image.id == id)
}

/// The bundle with this id.
pub fn find_bundle(id: &str) -> Option<&'static Bundle> {
    BUNDLES.iter().find(|bundle| bundle.id == id)
}

/// The desktop type with this id.
pub fn find_desktop_type(id: &str) -> Option<&'static DesktopType> {
    DESKTOP_TYPES.iter().find(|desktop_type| desktop_type.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundle_names_an_image_and_a_type_that_exist() {
        for bundle in BUNDLES {
            assert!(find_image(bundle.image_id).is_some(), "{}", bundle.id);
            assert!(find_desktop_type(bundle.desktop_type).is_some(), "{}", bundle.id);
        }
    }
}
