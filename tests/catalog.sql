-- Everything a database holds besides data, one line per fact, in an order that does not depend on object ids.
-- Rights are written out, so that "never granted" and "granted and taken back" read the same.
WITH ours AS (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
    WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND nspname NOT LIKE 'pg\_%temp\_%'
)
SELECT line FROM (
    SELECT format('schema %s owner %s', nspname, nspowner::regrole) FROM ours
    UNION ALL
    SELECT format('schema %s %s may %s', nspname, a.grantee::regrole, a.privilege_type)
    FROM ours, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) AS a
    UNION ALL
    SELECT format('relation %s kind %s owner %s options %s', c.oid::regclass, c.relkind, c.relowner::regrole, c.reloptions)
    FROM pg_class AS c JOIN ours ON ours.oid = c.relnamespace
    UNION ALL
    SELECT format('relation %s %s may %s', c.oid::regclass, a.grantee::regrole, a.privilege_type)
    FROM pg_class AS c JOIN ours ON ours.oid = c.relnamespace,
         aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) AS a
    WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm')
    UNION ALL
    SELECT format('column %s.%s number %s type %s not null %s default %s identity %s', c.oid::regclass, t.attname, t.attnum,
                  format_type(t.atttypid, t.atttypmod), t.attnotnull, pg_get_expr(d.adbin, d.adrelid), t.attidentity)
    FROM pg_attribute AS t
    JOIN pg_class AS c ON c.oid = t.attrelid AND c.relkind IN ('r', 'p', 'v', 'm')
    JOIN ours ON ours.oid = c.relnamespace
    LEFT JOIN pg_attrdef AS d ON d.adrelid = t.attrelid AND d.adnum = t.attnum
    WHERE t.attnum > 0
    UNION ALL
    SELECT format('column %s.%s %s may %s', c.oid::regclass, t.attname, a.grantee::regrole, a.privilege_type)
    FROM pg_attribute AS t JOIN pg_class AS c ON c.oid = t.attrelid JOIN ours ON ours.oid = c.relnamespace,
         aclexplode(t.attacl) AS a
    UNION ALL
    SELECT format('constraint %s on %s: %s', k.conname, k.conrelid::regclass, pg_get_constraintdef(k.oid))
    FROM pg_constraint AS k JOIN ours ON ours.oid = k.connamespace
    UNION ALL
    SELECT format('index %s', pg_get_indexdef(i.indexrelid))
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN ours ON ours.oid = c.relnamespace
    UNION ALL
    SELECT format('trigger %s enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
    FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN ours ON ours.oid = c.relnamespace
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT format('function %s owner %s: %s', p.oid::regprocedure, p.proowner::regrole, pg_get_functiondef(p.oid))
    FROM pg_proc AS p JOIN ours ON ours.oid = p.pronamespace WHERE p.prokind IN ('f', 'p')
    UNION ALL
    SELECT format('function %s %s may %s', p.oid::regprocedure, a.grantee::regrole, a.privilege_type)
    FROM pg_proc AS p JOIN ours ON ours.oid = p.pronamespace,
         aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
    UNION ALL
    SELECT format('type %s kind %s owner %s', t.oid::regtype, t.typtype, t.typowner::regrole)
    FROM pg_type AS t JOIN ours ON ours.oid = t.typnamespace
    UNION ALL
    SELECT format('type %s %s may %s', t.oid::regtype, a.grantee::regrole, a.privilege_type)
    FROM pg_type AS t JOIN ours ON ours.oid = t.typnamespace,
         aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) AS a
    UNION ALL
    SELECT format('label %s of %s', e.enumlabel, e.enumtypid::regtype) FROM pg_enum AS e
    UNION ALL
    SELECT format('sequence %s %s %s %s %s', s.schemaname, s.sequencename, s.start_value, s.increment_by, s.cache_size)
    FROM pg_sequences AS s
    UNION ALL
    SELECT format('rule %s', pg_get_ruledef(r.oid))
    FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class JOIN ours ON ours.oid = c.relnamespace
    UNION ALL
    SELECT format('policy %s on %s.%s', policyname, schemaname, tablename) FROM pg_policies
    UNION ALL
    SELECT format('extension %s', extname) FROM pg_extension
    UNION ALL
    SELECT format('event trigger %s', evtname) FROM pg_event_trigger
    UNION ALL
    SELECT format('publication %s', pubname) FROM pg_publication
    UNION ALL
    SELECT format('default rights of %s: %s', defaclrole::regrole, defaclacl) FROM pg_default_acl
    UNION ALL
    SELECT format('role %s in %s is set %s', setrole::regrole, d.datname, setconfig)
    FROM pg_db_role_setting AS s LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
    WHERE s.setdatabase = 0 OR d.datname = current_database()
    UNION ALL
    SELECT format('comment on %s: %s', pg_describe_object(d.classoid, d.objoid, d.objsubid), d.description)
    FROM pg_description AS d JOIN pg_class AS c ON c.oid = d.objoid JOIN ours ON ours.oid = c.relnamespace
) AS facts (line)
ORDER BY line
