-- What the shop stores. docs/orders-in-sql.md explains the protocol.

-- The row decides about its order. `state` only changes from a known state to the next one (see orders.rs), so of two
-- processes that disagree, one finds that the other was first.
CREATE TABLE orders (
    id          text PRIMARY KEY,
    state       text NOT NULL CHECK (state IN ('placed', 'paid', 'committed', 'sold', 'cancelling', 'cancelled')),
    method      text NOT NULL CHECK (method IN ('authorise', 'charge')),
    amount      bigint NOT NULL CHECK (amount > 0),
    -- The id of the reservation: the id of the order, and `order:2`, `order:3` if a lost reservation was made again.
    reservation text NOT NULL UNIQUE,
    attempt     integer NOT NULL DEFAULT 1,
    placed_at   timestamptz NOT NULL DEFAULT now(),
    -- Until then the customer may pay.
    pay_by      timestamptz NOT NULL,
    -- When the stock server last confirmed what the order says about its stock, and which server that was.
    settled_at  timestamptz,
    settled_on  text
);

CREATE INDEX orders_settled ON orders (settled_at) WHERE state IN ('sold', 'cancelled');

CREATE TABLE order_lines (
    order_id text NOT NULL REFERENCES orders,
    sku      text NOT NULL,
    quantity bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, sku)
);

-- The orders that the recovery job has to look at, and when. An order that has not ended always has a row.
CREATE TABLE outbox (
    order_id text PRIMARY KEY REFERENCES orders,
    due_at   timestamptz NOT NULL,
    -- Rises with each reason to look at the order. The row is only deleted by one who knew of all of them.
    reasons  integer NOT NULL DEFAULT 1,
    -- Why a person has to look at it.
    problem  text
);

CREATE INDEX outbox_due ON outbox (due_at);

-- The events of the payment provider that have arrived.
CREATE TABLE webhooks (
    event       text PRIMARY KEY,
    order_id    text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);

-- Each stock server on which the shop has relied. A restart and a failover make another server: it may have forgotten what was
-- answered after `since`.
CREATE TABLE stock_servers (
    server text PRIMARY KEY,
    since  timestamptz NOT NULL
);
