DROP FUNCTION take_row_keys_and_numbers;
DROP TABLE endpoint_numbers;
