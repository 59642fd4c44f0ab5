//! DescribeRegions: the region of this server.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::region::describe_regions::{Input, Output, Regions};

use crate::app::App;

/// Names of the provider's regions that people know; another region is shown by its id.
const NAMES: [(&str, &str, &str); 4] = [
    ("cn-hangzhou", "华东1（杭州）", "China (Hangzhou)"),
    ("cn-shanghai", "华东2（上海）", "China (Shanghai)"),
    ("cn-beijing", "华北2（北京）", "China (Beijing)"),
    ("ap-southeast-1", "新加坡", "Singapore"),
];

pub(crate) async fn handle(app: &App, _actor: Actor, input: Input) -> Result<Output, ApiError> {
    let region = app.config.region.as_str();
    let english = input.accept_language.is_some_and(|language| language.starts_with("en"));
    let name = NAMES
        .iter()
        .find(|(id, _, _)| *id == region)
        .map_or(region, |(_, chinese, en)| if english { en } else { chinese });
    Ok(Output {
        regions: Some(vec![Regions {
            local_name: Some(name.to_owned()),
            region_endpoint: Some(app.admin_url.clone()),
            region_id: Some(region.to_owned()),
        }]),
    })
}
