using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Settings about data sets.</summary>
internal static class DataSettings
{
    public static readonly Setting<string?> Data = Make.Text(
        "data", "Training data: JSON, JSONL or text", "data/alpaca.json", aka: ["dataset", "train_file"],
        shown: "the bundled set");

    public static readonly Setting<string?> EvalData = Make.Text(
        "eval_data", "Held-out data", "data/valid.json", aka: ["eval_dataset", "validation_file"],
        shown: "a part of --data");

    public static readonly Setting<double> ValSize = Make.Number(
        "val_size", "Without --eval-data: how many examples to hold out, or which share (below 1); 0 none", 0.05, "0.1",
        "a share below 1 or a whole number of at least 0", v => v is >= 0 and < 1 || (v >= 1 && v == Math.Floor(v)));

    public static readonly Setting<string> Format = Make.Choice(
        "data_format", "Layout of the data", "auto",
        ["auto", "alpaca", "chat", "sharegpt", "prompt-completion", "text", "delimited", "e2e"]);

    public static readonly Setting<string?> Delimiter = Make.Text(
        "delimiter", "Between prompt and response in the delimited format", "||", "||", free: true);

    public static readonly Setting<string> Template = Make.Choice(
        "template", "How conversations are written out", "auto", ["auto", .. ChatTemplate.Names],
        shown: "the tokenizer's own, else plain");

    public static readonly Setting<bool> TrainOnPrompt = Make.Switch(
        "train_on_prompt", "Learn the prompt too, not only the response");

    public static readonly Setting<int> MaxLength = Make.Int(
        "max_length", "Longest example in tokens; longer ones are cut", 1024, "512", 2,
        aka: ["cutoff_len", "max_seq_length"]);

    public static readonly Setting<bool> Packing = Make.Switch(
        "packing", "Several examples in one row, without attention across them");

    public static readonly Setting<bool> GroupByLength = Make.Switch(
        "group_by_length", "Batches of similar length, to pad less");

    public static readonly Setting<int?> MaxSamples = Make.MaybeInt(
        "max_samples", "Use only the first records of the data", "1000", 1, "all");

    public static readonly Setting<int> MaxEvalSamples = Make.Int(
        "max_eval_samples", "Score at most so many held-out records; 0 all", 500, "200", 0);

    public static readonly Setting<int> ExactMatchSamples = Make.Int(
        "exact_match_samples", "Held-out records answered in full to count exact matches; 0 none", 100, "20", 0);

    /// <summary>
    /// Unless told otherwise, scores a handful of held-out records and answers none: for the emulator, where every
    /// instruction of every thread is interpreted.
    /// </summary>
    public static void ScoreLittle(SettingValues values)
    {
        values.AddDefault(MaxEvalSamples, 4);
        values.AddDefault(ExactMatchSamples, 0);
    }

    public static DataOptions Options(SettingValues values) => new()
    {
        Format = DataOptions.ParseFormat(values.Get(Format)),
        Delimiter = values.Get(Delimiter) ?? "||",
    };
}
