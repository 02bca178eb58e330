-- A store that lost what it had acknowledged may give the same offsets to other messages, and the
-- same numbers to other notices. So both begin anew with each life of the store. A replica that took
-- over, or a restored point in time, counts another timeline. An older copy of the files, or a dump,
-- does not: a node that has seen more than it contains gives the store another name.
CREATE OR REPLACE FUNCTION itemwire.life() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT '-' || ltrim(left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), '0')
        || '-' || left(name, 8)
    FROM itemwire.store
$$;
