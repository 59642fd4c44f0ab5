//! Names in Rust for names on the wire.

/// `OfficeSiteId` → `office_site_id`, `ADConnectors` → `ad_connectors`, `VSwitchId` → `vswitch_id`.
pub(crate) fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (position, &c) in chars.iter().enumerate() {
        let before = position.checked_sub(1).and_then(|p| chars.get(p));
        let after = chars.get(position + 1);
        let starts_word = c.is_uppercase()
            && before.is_some_and(|b| {
                !b.is_uppercase() || (position > 1 && after.is_some_and(|a| a.is_lowercase()))
            });
        if starts_word {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// The name as a field's: `Type` → `r#type`, the one wire name that is a keyword.
pub(crate) fn field(name: &str) -> String {
    match snake(name).as_str() {
        "type" => "r#type".to_owned(),
        other => other.to_owned(),
    }
}

/// What serde's `rename_all = "PascalCase"` makes of a field name.
pub(crate) fn pascal(field: &str) -> String {
    field.trim_start_matches("r#").split('_').map(upper_first).collect()
}

/// `office_site` → `office site`.
pub(crate) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// The text with its first letter in upper case.
pub(crate) fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_names_become_field_names() {
        for (wire, field) in [
            ("OfficeSiteId", "office_site_id"),
            ("ADConnectors", "ad_connectors"),
            ("VSwitchId", "vswitch_id"),
            ("BackupDCHostname", "backup_dc_hostname"),
            ("amount", "amount"),
            ("OsType", "os_type"),
        ] {
            assert_eq!(snake(wire), field);
        }
        assert_eq!(pascal("office_site_id"), "OfficeSiteId");
        assert_eq!((field("Type").as_str(), pascal("r#type").as_str()), ("r#type", "Type"));
    }
}
