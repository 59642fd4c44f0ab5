//! DescribeImages: the images that runtimes can be made from.

use creel_control::access::Actor;
use creel_control::catalog::{CATALOG_CREATED_MS, IMAGES, Image};
use creel_wire::error::ApiError;
use creel_wire::ops::catalog::describe_images::{Images, Input, Output};
use creel_wire::time::TimeFormat;

use super::{page, wants, wants_id};
use crate::app::App;
use crate::ops::shown_time;

pub(crate) async fn handle(app: &App, _actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let matching: Vec<&Image> = IMAGES.iter().filter(|image| matches(image, &input)).collect();
    let (images, next_token) = page(matching, input.next_token.as_deref(), input.max_results)?;
    Ok(Output { images: Some(images.into_iter().map(shown).collect()), next_token })
}

fn matches(image: &Image, input: &Input) -> bool {
    wants_id(&input.image_id, image.id)
        && wants(input.os_type.as_deref(), image.os_type.as_str())
        && wants(input.image_type.as_deref(), "SYSTEM")
        && wants(input.image_status.as_deref(), "Available")
        && wants(input.protocol_type.as_deref(), "ASP")
        && wants(input.session_type.as_deref(), "SINGLE_SESSION")
        && input.language_type.as_deref().is_none_or(|language| matches!(language, "en-US" | "zh-CN"))
        && input.image_name.as_deref().is_none_or(|name| image.name.contains(name))
        && input.gpu_category != Some(true)
}

fn shown(image: &Image) -> Images {
    let at = Some(shown_time(CATALOG_CREATED_MS, TimeFormat::Seconds));
    Images {
        creation_time: at.clone(),
        update_time: at,
        description: Some(image.description.to_owned()),
        gpu_category: Some(false),
        image_id: Some(image.id.to_owned()),
        image_type: Some("SYSTEM".to_owned()),
        name: Some(image.name.to_owned()),
        os_type: Some(image.os_type.as_str().to_owned()),
        platform: Some(image.platform.to_owned()),
        progress: Some("100%".to_owned()),
        protocol_type: Some("ASP".to_owned()),
        session_type: Some("SINGLE_SESSION".to_owned()),
        size: Some(image.size_gib),
        status: Some("Available".to_owned()),
        supported_languages: Some(vec!["en-US".to_owned(), "zh-CN".to_owned()]),
        volume_encryption_enabled: Some(false),
        ..Images::default()
    }
}
