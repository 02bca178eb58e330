-- The first schema. `itemwire engine init` runs it in one transaction; later ones only add files.

CREATE SCHEMA itemwire;

CREATE TABLE itemwire.store (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    version integer NOT NULL,
    name text NOT NULL DEFAULT gen_random_uuid()::text,  -- another name means another store
    last_notice bigint NOT NULL DEFAULT 0
);
INSERT INTO itemwire.store (version) VALUES (0);

-- No index on what a publish changes: its update then stays in the page (HOT).
CREATE TABLE itemwire.channels (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    epoch text NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 12),
    last_offset bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,  -- of all payloads that were ever published
    used_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

CREATE TABLE itemwire.messages (
    channel bigint NOT NULL,
    "offset" bigint NOT NULL,
    bytes_before bigint NOT NULL,  -- of all payloads before it, so that bounds need no sums
    stored_at timestamptz NOT NULL,
    sent_at double precision NOT NULL,
    kind smallint NOT NULL,  -- 0 text, 1 binary, 2 any other JSON value; 4 more if extras go with it
    item text NOT NULL,
    sender text NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (channel, "offset")
);
CREATE INDEX messages_by_time ON itemwire.messages (stored_at);

CREATE TABLE itemwire.keys (
    channel bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    "offset" bigint NOT NULL,
    stored_at timestamptz NOT NULL,
    PRIMARY KEY (channel, key)
);
CREATE INDEX keys_by_time ON itemwire.keys (stored_at);

CREATE TABLE itemwire.kept_values (
    key text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL,
    ends_at timestamptz NOT NULL
);
CREATE INDEX kept_values_by_end ON itemwire.kept_values (ends_at);

CREATE TABLE itemwire.notices (
    id bigint PRIMARY KEY,
    notice bytea NOT NULL,
    ends_at timestamptz NOT NULL,  -- nodes that start later do not get it
    posted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A replica that took over, or a restored backup, counts another timeline: it may lack the newest
-- messages and give their offsets to others, so every epoch has the timeline in its name.
CREATE FUNCTION itemwire.life() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT '-' || ltrim(left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), '0')
$$;

-- Store messages in one step, and return a row for each, in their order. A row without an epoch
-- belongs to a channel that another transaction holds: nothing of it was stored. A message without
-- data stores nothing and makes the channel. No (channel, key) may occur twice in one call.
CREATE FUNCTION itemwire.publish_all(
    names text[], items text[], senders text[], times double precision[], kinds smallint[],
    payloads bytea[], keys text[], is_patient boolean
) RETURNS TABLE (epoch text, "offset" bigint, is_new boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    held bigint[];
    life text := itemwire.life();
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        -- After a crash, offsets that were seen would be given to other messages.
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    INSERT INTO itemwire.channels (name)
        SELECT DISTINCT one FROM unnest(names) AS one
        WHERE NOT EXISTS (SELECT FROM itemwire.channels c WHERE c.name = one)
        ORDER BY one
        ON CONFLICT DO NOTHING;
    -- Always in the same order, so that no two calls wait for each other.
    IF is_patient THEN
        SELECT array_agg(l.id) INTO held FROM (
            SELECT c.id FROM itemwire.channels c WHERE c.name = ANY (names)
            ORDER BY c.name FOR UPDATE
        ) l;
    ELSE
        SELECT array_agg(l.id) INTO held FROM (
            SELECT c.id FROM itemwire.channels c WHERE c.name = ANY (names)
            ORDER BY c.name FOR UPDATE SKIP LOCKED
        ) l;
    END IF;
    -- A separate statement, which sees what was stored before the rows were locked.
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT a.place, a.item, a.sender, a.sent_at, a.kind, a.data, a.key,
            c.id AS channel, c.epoch, c.last_offset, c.bytes, k."offset" AS known,
            c.id IS NOT NULL AND k."offset" IS NULL AND a.data IS NOT NULL AS is_new
        FROM unnest(names, items, senders, times, kinds, payloads, keys) WITH ORDINALITY
            AS a (name, item, sender, sent_at, kind, data, key, place)
        LEFT JOIN itemwire.channels c ON c.name = a.name AND c.id = ANY (held)
        LEFT JOIN itemwire.keys k ON k.channel = c.id AND k.key = a.key
    ), placed AS MATERIALIZED (
        SELECT *,
            last_offset + count(*) FILTER (WHERE is_new) OVER earlier AS at,
            bytes + coalesce(sum(octet_length(data)) FILTER (WHERE is_new) OVER earlier, 0)
                AS bytes_after
        FROM asked
        WINDOW earlier AS (PARTITION BY channel ORDER BY place)
    ), stored AS (
        INSERT INTO itemwire.messages
            (channel, "offset", bytes_before, stored_at, sent_at, kind, item, sender, data)
        SELECT channel, at, bytes_after - octet_length(data), clock_timestamp(), sent_at, kind,
            item, sender, data
        FROM placed WHERE is_new
    ), remembered AS (
        INSERT INTO itemwire.keys (channel, key, "offset", stored_at)
        SELECT channel, key, at, clock_timestamp() FROM placed WHERE is_new AND key IS NOT NULL
    ), moved AS (
        UPDATE itemwire.channels c
        SET last_offset = n.at, bytes = n.bytes_after, used_at = clock_timestamp()
        FROM (
            SELECT channel, max(at) AS at, max(bytes_after) AS bytes_after
            FROM placed WHERE is_new GROUP BY channel
        ) n
        WHERE c.id = n.channel
        RETURNING pg_notify('itemwire', concat(c.epoch, life, ' ', n.at, ' ', c.name))
    )
    SELECT p.epoch || life, coalesce(p.known, p.at), p.is_new
    FROM placed p, (SELECT count(*) FROM moved) told
    ORDER BY p.place;
END
$$;

-- For the application's own transactions. Nobody sees the message before they commit. Until then
-- the item's row is locked, and other publishes to it wait or are refused.
CREATE FUNCTION public.itemwire_publish(
    item text, payload jsonb, sender text DEFAULT session_user, key text DEFAULT NULL
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_text boolean := jsonb_typeof(payload) = 'string';
    stored record;
BEGIN
    IF item IS NULL OR item !~ '^[A-Za-z0-9._~:-]{1,128}$' OR item IN ('.', '..') THEN
        RAISE EXCEPTION 'not the name of an item: %', item USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF payload IS NULL OR sender IS NULL THEN
        RAISE EXCEPTION 'payload and sender cannot be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    LOOP
        SELECT * INTO stored FROM itemwire.publish_all(
            ARRAY['item:' || item], ARRAY[item], ARRAY[sender],
            ARRAY[round(extract(epoch FROM clock_timestamp())::numeric, 3)::double precision],
            ARRAY[CASE WHEN is_text THEN 0 ELSE 2 END::smallint],
            ARRAY[convert_to(CASE WHEN is_text THEN payload #>> '{}' ELSE payload::text END, 'UTF8')],
            ARRAY[key], true);
        EXIT WHEN stored.epoch IS NOT NULL;  -- the channel was deleted just now: once more
    END LOOP;
    RETURN stored.epoch || ':' || stored."offset";
END
$$;
REVOKE ALL ON FUNCTION public.itemwire_publish FROM PUBLIC;

-- Delete what is beyond its bounds, a slice at a time and on one node at a time; true if there is
-- more. What is younger than live_seconds stays: other nodes may not have read it yet.
CREATE FUNCTION itemwire.tidy(
    most_messages bigint, most_bytes bigint, most_seconds double precision,
    live_seconds double precision, key_seconds double precision, idle_seconds double precision,
    slice integer
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    now timestamptz := clock_timestamp();
    live_since timestamptz := now - make_interval(secs => live_seconds);
    gone integer;
    is_more boolean := false;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('itemwire.tidy')) THEN
        RETURN false;
    END IF;
    DELETE FROM itemwire.messages m USING (
        SELECT o.channel, o."offset" FROM itemwire.messages o
        WHERE o.stored_at < least(live_since, now - make_interval(secs => most_seconds))
        ORDER BY o.stored_at LIMIT slice
    ) old WHERE m.channel = old.channel AND m."offset" = old."offset";
    GET DIAGNOSTICS gone = ROW_COUNT;
    is_more := is_more OR gone = slice;
    -- Only a channel whose messages have just become old enough can hold too many.
    DELETE FROM itemwire.messages m USING (
        SELECT o.channel, o."offset" FROM (
            SELECT DISTINCT r.channel FROM itemwire.messages r
            WHERE r.stored_at < live_since AND r.stored_at > live_since - interval '10 seconds'
        ) recent
        JOIN itemwire.channels c ON c.id = recent.channel
        JOIN itemwire.messages o ON o.channel = c.id AND o.stored_at < live_since AND (
            o."offset" <= c.last_offset - most_messages OR c.bytes - o.bytes_before > most_bytes
        )
        LIMIT slice
    ) old WHERE m.channel = old.channel AND m."offset" = old."offset";
    GET DIAGNOSTICS gone = ROW_COUNT;
    is_more := is_more OR gone = slice;
    DELETE FROM itemwire.keys k USING (
        SELECT o.channel, o.key FROM itemwire.keys o
        WHERE o.stored_at < now - make_interval(secs => key_seconds)
        ORDER BY o.stored_at LIMIT slice
    ) old WHERE k.channel = old.channel AND k.key = old.key;
    GET DIAGNOSTICS gone = ROW_COUNT;
    is_more := is_more OR gone = slice;
    DELETE FROM itemwire.kept_values WHERE key IN (
        SELECT o.key FROM itemwire.kept_values o WHERE o.ends_at < now
        ORDER BY o.ends_at LIMIT slice FOR UPDATE SKIP LOCKED
    );
    GET DIAGNOSTICS gone = ROW_COUNT;
    is_more := is_more OR gone = slice;
    DELETE FROM itemwire.notices WHERE ends_at < now AND posted_at < now - interval '5 minutes';
    IF idle_seconds IS NOT NULL THEN  -- reads the whole table, so it is done now and then only
        DELETE FROM itemwire.channels WHERE id IN (
            SELECT o.id FROM itemwire.channels o
            WHERE o.used_at < now - make_interval(secs => idle_seconds)
            LIMIT slice FOR UPDATE SKIP LOCKED
        );
    END IF;
    RETURN is_more;
END
$$;
