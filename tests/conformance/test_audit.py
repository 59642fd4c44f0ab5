"""The audit log as the API shows it."""

import time

from driver import happy
from test_office_site import create_site


@happy("DescribeAuditEvents")
def describe(_):
    return {}


def names(answer: dict) -> list[str]:
    return [event["EventId"] for event in answer["Events"]]


def test_an_event_tells_who_did_what(tenant):
    made = tenant.call("CreateSimpleOfficeSite", create_site(tenant))
    event = tenant.call("DescribeAuditEvents", EventId=made["RequestId"])["Events"][0]
    assert event["EventName"] == "CreateSimpleOfficeSite" and event["ApiVersion"] == "2020-09-30"
    assert event["AccessKeyId"] == tenant.key_id and event["SourceIpAddress"] == "127.0.0.1"
    assert event["Resources"] == [made["OfficeSiteId"]] and event["UserAgent"]
    assert (event["Decision"], event["Outcome"], event["Calls"]) == ("Allowed", "Success", 1)


def test_events_are_found_by_every_filter(tenant):
    wanted = tenant.call("CreateSimpleOfficeSite", create_site(tenant))
    other = tenant.call("CreateResourceGroup", tenant.good("CreateResourceGroup"))
    item = wanted["RequestId"]
    event = tenant.call("DescribeAuditEvents", EventId=item)["Events"][0]
    at = event["EventTimeMs"]

    def indexed():
        return item in names(tenant.call("DescribeAuditEvents", Resource=wanted["OfficeSiteId"]))

    tenant.world.until("the event to be found by its resource", indexed, 20)
    tenant.filters(
        "DescribeAuditEvents",
        {"MaxResults": 1000, "EventName": "CreateSimpleOfficeSite"},
        names,
        item,
        {
            "EventName": ("CreateSimpleOfficeSite", "CreateResourceGroup"),
            "EventId": (item, other["RequestId"]),
            "EventAccessKeyId": (tenant.key_id, "LTAInobody"),
            "Principal": (event["Principal"], "nobody"),
            "Resource": (wanted["OfficeSiteId"], other["ResourceGroupId"]),
            "Decision": ("Allowed", "Denied"),
            "StartTime": (at, at + 1),
            "EndTime": (at + 1, at),
        },
    )


def test_events_come_in_pages(tenant):
    start = int(time.time() * 1000)
    for _ in range(3):
        tenant.call("CreateSimpleOfficeSite", create_site(tenant))
    tenant.pages_by_token("DescribeAuditEvents", {"StartTime": start}, "Events")


def test_a_refused_change_is_an_event_too(tenant):
    refused = tenant.refused("CreateSimpleOfficeSite", "InvalidRegionId", create_site(tenant) | {"RegionId": "nowhere"})
    answer = tenant.call("DescribeAuditEvents", EventId=refused["RequestId"])
    for event in answer["Events"]:
        assert event["ErrorCode"] == "InvalidRegionId"
