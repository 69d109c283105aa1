"""What an expression may hold: functions, types and operators, by DuckDB's names."""

_TEXTS = """
|| concat concat_ws lower lcase upper ucase trim ltrim rtrim left right lpad rpad reverse replace translate substring
substr length len strlen char_length character_length bit_length position strpos instr contains starts_with prefix
suffix ends_with ^@ split_part string_split str_split string_split_regex regexp_split_to_array regexp_matches
regexp_full_match regexp_replace regexp_extract regexp_extract_all ascii unicode ord chr strip_accents nfc_normalize md5
sha1 sha256 base64 to_base64 from_base64 hex to_hex unhex from_hex encode decode url_encode url_decode ~~ !~~ ~~* !~~*
like_escape not_like_escape ilike_escape not_ilike_escape levenshtein jaccard jaro_winkler_similarity typeof
"""
_NUMBERS = """
+ - * / // % ** ^ & | ~ << >> abs sign ceil ceiling floor round round_even trunc add subtract multiply divide mod fmod
power pow sqrt cbrt exp ln log log2 log10 greatest least isnan isinf isfinite even nullif ifnull coalesce if
"""
_TIMES = """
date_part datepart date_trunc datetrunc date_diff datediff date_sub datesub date_add strftime strptime try_strptime year
month day hour minute second week isoyear isodow quarter dayofweek dayofmonth dayofyear weekday weekofyear yearweek
dayname monthname last_day epoch epoch_ms epoch_us epoch_ns to_timestamp make_date make_time make_timestamp
make_timestamptz timezone to_years to_months to_weeks to_days to_hours to_minutes to_seconds to_milliseconds
to_microseconds time_bucket
"""
_NESTED = """
list_value array_value row struct_pack struct_extract array_extract list_extract list_element list_slice array_slice
list_contains array_contains list_has array_has list_position array_position list_concat array_concat list_append
list_prepend list_distinct list_sort list_reverse_sort list_reverse list_sum list_min list_max list_avg list_count
list_first list_last array_to_string list_has_any list_has_all flatten array_length cardinality map map_extract
map_extract_value map_keys map_values element_at map_from_entries -> ->> json json_extract json_extract_string
json_extract_path json_extract_path_text json_value json_valid json_type json_keys json_array json_object
json_array_length json_contains json_exists json_quote to_json json_merge_patch
"""
FUNCTIONS = frozenset(f"{_TEXTS}{_NUMBERS}{_TIMES}{_NESTED}".split())
"""What may be called."""

_CHANGING = """
now today random uuid gen_random_uuid uuidv4 uuidv7 age nextval currval setseed txid_current
current_date current_time current_timestamp localtime localtimestamp get_current_time get_current_timestamp
transaction_timestamp current_localtime current_localtimestamp
"""
CHANGING = frozenset(_CHANGING.split())
"""What gives another value at every call."""

_TYPES = """
boolean bool logical tinyint smallint integer int bigint hugeint utinyint usmallint uinteger ubigint uhugeint int1 int2
int4 int8 int16 int32 int64 int128 long short signed float float4 real double float8 decimal numeric varchar text string
char bpchar date time timestamp timestamptz datetime timestamp_s timestamp_ms timestamp_us timestamp_ns interval uuid
blob bytea json list array struct map
"""
TYPES = frozenset({*_TYPES.split(), "timestamp with time zone", "timestamp without time zone"})
"""What may be cast to."""

_OPERATORS = """
COMPARE_IN COMPARE_NOT_IN OPERATOR_IS_NULL OPERATOR_IS_NOT_NULL OPERATOR_NOT OPERATOR_COALESCE OPERATOR_TRY
OPERATOR_NULLIF ARRAY_EXTRACT ARRAY_SLICE ARRAY_CONSTRUCTOR STRUCT_EXTRACT
"""
OPERATORS = frozenset(_OPERATORS.split())
PLAIN = frozenset({"CONSTANT", "CASE", "COMPARISON", "CONJUNCTION", "BETWEEN", "CAST"})
"""Classes of DuckDB's tree in which nothing but their parts needs looking at."""
REFUSED = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "LAMBDA": "a lambda",
    "STAR": "* or COLUMNS()",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a position (#1)",
}
"""Names of classes that people write."""
