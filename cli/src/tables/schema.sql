-- The tables of inv mirror, in a schema of their own. docs/mirror.md explains them.

CREATE TABLE mirror (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- The version of these tables.
    version    integer NOT NULL,
    -- How the server names its keys.
    key_style  text NOT NULL CHECK (key_style IN ('plain', 'tagged')),
    begun_at   timestamptz NOT NULL DEFAULT now(),
    -- When the tables equalled the counters for the first time. Until then, differences are opening balances.
    opened_at  timestamptz,
    -- When the last complete comparison with the counters ended.
    compared_at timestamptz,
    -- When inv rebuild began to write into a server. No mirror works until it has ended.
    rebuilding timestamptz
);

-- One row for each change feed, and how far it is in these tables.
CREATE TABLE feed (
    feed      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key       text NOT NULL UNIQUE,
    epoch     integer NOT NULL,
    entry_ms  bigint NOT NULL,
    entry_seq bigint NOT NULL,
    part      integer NOT NULL,
    -- How many entries were ever appended up to this one.
    entries_read bigint NOT NULL,
    -- How many entries the server had after this one.
    entries_behind bigint NOT NULL DEFAULT 0,
    -- What explains differences until the next complete comparison: 'opening', 'gap' or 'failover'.
    mending   text,
    read_at   timestamptz NOT NULL DEFAULT now()
);

-- The histories of a feed. Ids of entries can come again after a failover, so each begins a new one.
CREATE TABLE epoch (
    feed           integer NOT NULL REFERENCES feed,
    epoch          integer NOT NULL,
    -- master_replid of the server that the feed was read from.
    replication_id text NOT NULL,
    begun_at       timestamptz NOT NULL DEFAULT now(),
    reason         text NOT NULL,
    -- The last entry that this epoch has in common with the one before.
    after_ms       bigint NOT NULL,
    after_seq      bigint NOT NULL,
    -- How many movements of the epoch before the server has lost.
    lost           bigint NOT NULL,
    PRIMARY KEY (feed, epoch)
);

-- Entries that were removed from a feed before they were read.
CREATE TABLE gap (
    gap        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feed       integer NOT NULL REFERENCES feed,
    epoch      integer NOT NULL,
    after_ms   bigint NOT NULL,
    after_seq  bigint NOT NULL,
    -- About how many.
    entries    bigint NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    -- When the tables equalled the counters again.
    mended_at  timestamptz
);

CREATE TABLE stock (
    sku       text PRIMARY KEY,
    available bigint NOT NULL,
    reserved  bigint NOT NULL,
    on_hand   bigint GENERATED ALWAYS AS (available + reserved) STORED,
    -- As of this movement.
    feed      integer NOT NULL,
    epoch     integer NOT NULL,
    entry_ms  bigint NOT NULL,
    entry_seq bigint NOT NULL,
    part      integer NOT NULL,
    at        timestamptz NOT NULL
);

CREATE TABLE stock_movement (
    feed             integer NOT NULL,
    epoch            integer NOT NULL,
    entry_ms         bigint NOT NULL,
    entry_seq        bigint NOT NULL,
    part             integer NOT NULL,
    event            text NOT NULL,
    sku              text NOT NULL,
    quantity         bigint NOT NULL,
    available_change bigint NOT NULL,
    reserved_change  bigint NOT NULL,
    available        bigint NOT NULL,
    reserved         bigint NOT NULL,
    reservation      text,
    replaces         text,
    note             text,
    by_user          text,
    at               timestamptz NOT NULL,
    -- The epoch in which the server had lost this movement.
    lost_in          integer,
    PRIMARY KEY (feed, entry_ms, entry_seq, epoch, part)
);
CREATE INDEX stock_movement_of_sku ON stock_movement (sku, at);
CREATE INDEX stock_movement_of_reservation ON stock_movement (reservation) WHERE reservation IS NOT NULL;

CREATE TABLE reservation (
    id          text PRIMARY KEY,
    feed        integer NOT NULL,
    -- 'reserved', 'committed', 'rolled_back', 'expired', 'replaced'; 'unknown' if the server does not know how it ended.
    state       text NOT NULL,
    -- Units by sku: what it holds, and what was sold and returned of it.
    held        jsonb NOT NULL,
    sold        jsonb NOT NULL,
    returned    jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz,
    resolved_at timestamptz,
    buyer       text,
    data        text,
    replaced_by text,
    -- The JSON of its record or its outcome, as the server had it last.
    document    text
);
CREATE INDEX reservation_live ON reservation (id) WHERE held <> '{}';
CREATE INDEX reservation_ended ON reservation (resolved_at) WHERE held = '{}';

-- Floors, thresholds, limits per buyer, and warehouses with their priorities ('closed' if one is closed).
CREATE TABLE setting (
    kind  text NOT NULL CHECK (kind IN ('floor', 'threshold', 'limit', 'warehouse')),
    -- The sku or the product.
    name  text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (kind, name)
);

-- The counters of quotas, product@@buyer.
CREATE TABLE quota (
    sku       text PRIMARY KEY,
    available bigint NOT NULL,
    reserved  bigint NOT NULL
);

CREATE VIEW stock_level AS
    SELECT stock.sku, split_part(stock.sku, '@', 1) AS product, nullif(split_part(stock.sku, '@', 2), '') AS warehouse,
           stock.available, stock.reserved, stock.on_hand, coalesce(floor.value::bigint, 0) AS floor,
           stock.available - coalesce(floor.value::bigint, 0) AS reservable, stock.at
    FROM stock LEFT JOIN setting AS floor ON floor.kind = 'floor' AND floor.name = stock.sku;
