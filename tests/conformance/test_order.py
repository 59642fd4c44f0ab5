"""Orders of credit packs, their prices, and what happens when a pack is used up."""

import itertools

from driver import happy
from test_runtime import make


def offered(world) -> list[dict]:
    """An item of the price list; the list is the operator's, so it is made by `creel admin`."""
    if "offered" not in world.__dict__:
        world.admin("offer", "set", "--credits", "2000", "--period", "1", "--unit", "Month", "--price", "160.50")
        world.admin("offer", "set", "--credits", "2000", "--period", "1", "--unit", "Year", "--price", "1500")
        world.__dict__["offered"] = True
    size = [{"Key": "CreditPackageAmountSpec", "Value": "2000"}]
    return [{"ResourceType": "CreditPackage", "Period": 1, "PeriodUnit": "Month", "Amount": 2, "Components": size}]


AMOUNTS = itertools.cycle((2, 3))


@happy("CreateMultiOrder")
def create(t):
    # Each is another order than the one before: nothing else in it could differ.
    (item,) = offered(t.world)
    return {"OrderType": "create", "OrderItems": [item | {"Amount": next(AMOUNTS)}]}


@happy("DescribeMultiPrice")
def price(t):
    return {"OrderType": "create", "OrderItems": offered(t.world)}


@happy("DescribeCreditOrders")
def orders(_):
    return {}


def packs(t) -> list[str]:
    (order,) = t.call("CreateMultiOrder", OrderType="create", OrderItems=offered(t.world))["OrderIds"]
    return t.call("DescribeCreditOrders", OrderIds=[order])["Orders"][0]["CreditPackageIds"]


@happy("ModifyInstanceProperties")
def modify(t):
    return {
        "ResourceType": "CreditPackage",
        "InstanceIds": packs(t),
        "Key": "PackageUsedUpStrategy",
        "Value": "Postpaid",
    }


def test_packs_are_priced(tenant):
    item = offered(tenant.world)[0]
    look = lambda **change: tenant.call("DescribeMultiPrice", OrderItems=[item | change])["PriceInfo"]["Price"]  # noqa: E731
    of = lambda **change: [item | change]  # noqa: E731
    with tenant.claim(
        "DescribeMultiPrice",
        "OrderType",
        "OrderItems.Amount",
        "OrderItems.Components.Key",
        "OrderItems.Components.Value",
        "OrderItems.Period",
        "OrderItems.PeriodUnit",
        "OrderItems.ResourceIds",
        "OrderItems.ResourceType",
    ):
        assert look()["TradePrice"] == 321 and look(Amount=1)["TradePrice"] == 160.5
        assert look(PeriodUnit="Year")["PriceDetails"][0]["PriceDetail"]["TradePrice"] == 3000
        one = make(tenant)
        runtime = {name: value for name, value in item.items() if name != "Amount"} | {"ResourceIds": [one]}
        assert tenant.call("DescribeMultiPrice", OrderItems=[runtime])["PriceInfo"]["Price"]["TradePrice"] == 160.5
        tenant.refused("DescribeMultiPrice", "Order.NotOffered", OrderItems=of(Period=3))
        other = [{"Key": "CreditPackageAmountSpec", "Value": "3"}]
        tenant.refused("DescribeMultiPrice", "Order.NotOffered", OrderItems=of(Components=other))
        tenant.refused("DescribeMultiPrice", "InvalidOrderItems", OrderItems=of(Components=[{"Key": "Size", "Value": "1"}]))
        tenant.refused("DescribeMultiPrice", "InvalidOrderItems", OrderItems=of(ResourceType="DurationPackage"))
        tenant.refused("DescribeMultiPrice", "InvalidOrderType", OrderItems=of(), OrderType="refund")


def test_orders_grant_packs(tenant):
    item = offered(tenant.world)[0]
    show = lambda ids: tenant.call("DescribeCreditOrders", OrderIds=ids)["Orders"][0]  # noqa: E731
    with tenant.claim(
        "CreateMultiOrder",
        "OrderType",
        "OrderItems.Amount",
        "OrderItems.Components.Key",
        "OrderItems.Components.Value",
        "OrderItems.Period",
        "OrderItems.PeriodUnit",
        "OrderItems.ResourceIds",
        "OrderItems.ResourceType",
    ):
        order = show(tenant.call("CreateMultiOrder", OrderItems=[item])["OrderIds"])
        assert (order["Status"], order["Amount"], order["CreditAmount"]) == ("Granted", 2, "2000.000000")
        assert (order["Price"], order["Currency"], len(order["CreditPackageIds"])) == ("321.000000", "CNY", 2)
        yearly = show(tenant.call("CreateMultiOrder", OrderItems=[item | {"PeriodUnit": "Year"}])["OrderIds"])
        assert (yearly["Period"], yearly["PeriodUnit"], yearly["Price"]) == (1, "Year", "3000.000000")
        one = make(tenant)
        own = {name: value for name, value in item.items() if name != "Amount"} | {"ResourceIds": [one]}
        assert show(tenant.call("CreateMultiOrder", OrderItems=[own])["OrderIds"])["ResourceIds"] == [one]
        refuse = lambda code, **change: tenant.refused("CreateMultiOrder", code, OrderItems=[item | change])  # noqa: E731
        refuse("Order.NotOffered", Period=3)
        refuse("Order.NotOffered", Components=[{"Key": "CreditPackageAmountSpec", "Value": "3"}])
        refuse("InvalidOrderItems", Components=[{"Key": "Size", "Value": "1"}])
        refuse("InvalidOrderItems", ResourceType="DurationPackage")
        refuse("Runtime.NotFound", Amount=1, ResourceIds=["ecd-none"])
        tenant.refused("CreateMultiOrder", "InvalidOrderType", OrderItems=[item], OrderType="renew")
        tenant.refused("CreateMultiOrder", "MissingOrderItems")


def test_orders_are_listed(tenant):
    first, second = (tenant.call("CreateMultiOrder", create(tenant))["OrderIds"][0] for _ in range(2))
    ids = lambda answer: [order["OrderId"] for order in answer["Orders"]]  # noqa: E731
    tenant.filters("DescribeCreditOrders", {}, ids, first, {"OrderIds": ([first], [second])})
    tenant.pages_by_token("DescribeCreditOrders", {}, "Orders")
    # What `creel admin order deny` leaves where orders wait for the operator.
    tenant.world.database.execute(f"UPDATE credit_order SET status = 'Denied', reason = 'no budget' WHERE id = {first}")
    assert tenant.call("DescribeCreditOrders", OrderIds=[first])["Orders"][0]["Reason"] == "no budget"
    one = make(tenant)
    item = {name: value for name, value in offered(tenant.world)[0].items() if name != "Amount"} | {"ResourceIds": [one]}
    tenant.call("CreateMultiOrder", OrderItems=[item])
    assert tenant.call("DescribeCreditOrders", MaxResults=1)["Orders"][0]["ResourceIds"] == [one]


def test_a_strategy_is_of_packs(tenant):
    first, second = packs(tenant)
    good = {"ResourceType": "CreditPackage", "Key": "PackageUsedUpStrategy", "Value": "Maintenance"}
    with tenant.claim("ModifyInstanceProperties", "InstanceId", "InstanceIds", "Key", "ResourceType", "Value"):
        tenant.call("ModifyInstanceProperties", good, InstanceId=first)
        tenant.call("ModifyInstanceProperties", good, InstanceIds=[first, second])
        shown = {pack["CreditPackageId"]: pack for pack in tenant.world.admin("ledger", "packs", "--output", "json")}
        assert [shown[id]["UsedUpStrategy"] for id in (first, second)] == ["Maintenance"] * 2
        refuse = lambda code, **change: tenant.refused(  # noqa: E731
            "ModifyInstanceProperties", code, **(good | {"InstanceIds": [first]} | change)
        )
        refuse("InvalidValue", Value="Deny")
        refuse("InvalidKey", Key="Name")
        refuse("InvalidResourceType", ResourceType="DurationPackage")
        refuse("InvalidInstanceIds", InstanceIds=["crp-none"])
        tenant.refused("ModifyInstanceProperties", "MissingInstanceIds", good)
