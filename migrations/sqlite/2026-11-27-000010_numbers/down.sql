DROP TRIGGER deliveries_leave_their_last_number;
DROP TABLE endpoint_numbers;
