-- The table that the sync daily-traffic keeps up to date, in the database `operations`.
CREATE TABLE daily_traffic (
  day date,
  airport text,
  airline_code text,
  airline text NOT NULL,
  flights int NOT NULL,
  cancelled int NOT NULL,
  mean_delay_minutes numeric,
  worst_delay_minutes int,
  PRIMARY KEY (day, airport, airline_code)
);
