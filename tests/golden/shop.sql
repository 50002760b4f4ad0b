-- The database whose archives are kept: some of everything that an archive's parts are made of.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN price AS numeric(12, 2) CHECK (value >= 0);
CREATE SEQUENCE tickets START 100 INCREMENT 5;
SELECT nextval('tickets'), nextval('tickets');
CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, feels mood DEFAULT 'ok',
    born date, profile jsonb, photo bytea);
INSERT INTO customers (name, feels, born, profile, photo)
    SELECT 'Customer ' || n, (ARRAY['sad', 'ok', 'happy', NULL]::mood[])[1 + n % 4], date '1950-01-01' + n, jsonb_build_object('n', n, 'odd', n % 2 = 1),
        CASE WHEN n % 7 = 0 THEN decode(md5(n::text), 'hex') END FROM generate_series(1, 3000) n;
INSERT INTO customers (name) VALUES (E'tab\there'), (E'line\nbreak'), ('back\slash'), (''), ('\N'), ('čeština 🐘');
CREATE TABLE orders (id int, placed timestamptz, customer bigint REFERENCES customers, total price, PRIMARY KEY (id, placed)) PARTITION BY RANGE (placed);
CREATE TABLE orders_2024 PARTITION OF orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE orders_later PARTITION OF orders DEFAULT;
INSERT INTO orders SELECT n, timestamptz '2024-06-01 12:00+00' + n * interval '3 h', 1 + n % 3000, n % 1000 FROM generate_series(1, 4000) n;
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE notes (line text);
INSERT INTO notes SELECT repeat('x', n) FROM generate_series(0, 50) n;
CREATE INDEX orders_by_customer ON orders (customer) INCLUDE (total);
CREATE VIEW sums AS SELECT customer, sum(total) AS total FROM orders GROUP BY customer;
CREATE MATERIALIZED VIEW happy AS SELECT id, name FROM customers WHERE feels = 'happy';
CREATE FUNCTION double(x int) RETURNS int LANGUAGE sql IMMUTABLE RETURN x * 2;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN new; END$$;
CREATE TRIGGER touched BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY adults ON customers USING (born < '2000-01-01');
COMMENT ON TABLE customers IS 'who buys';
SELECT lo_from_bytea(4242, decode(repeat('cafe', 4000), 'hex'));
COMMENT ON LARGE OBJECT 4242 IS 'a picture';
