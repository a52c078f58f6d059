-- The highest token that each election has written with.
CREATE TABLE fence (
  election text PRIMARY KEY,
  token bigint NOT NULL
);

-- The first statement of each transaction that writes as leader. It fails when a higher token was seen, and until the
-- transaction has ended it keeps higher tokens waiting.
CREATE FUNCTION fenced(of_election text, with_token bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- The usual case: this token is the highest. The lock lets transactions of one term run side by side.
  PERFORM 1 FROM fence WHERE election = of_election AND token = with_token FOR SHARE;
  IF FOUND THEN RETURN; END IF;
  -- A new term waits here for transactions of the one before.
  INSERT INTO fence AS seen VALUES (of_election, with_token)
    ON CONFLICT (election) DO UPDATE SET token = with_token WHERE seen.token <= with_token;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'a term with a token above % has begun', with_token USING ERRCODE = 'TEN01';
  END IF;
END $$;

-- What the example writes.
CREATE TABLE entries (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  token bigint NOT NULL,
  line text NOT NULL
);
