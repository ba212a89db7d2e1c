using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Records of a data set and their tokens.</summary>
internal sealed record RecordSet(IReadOnlyList<DataExample> Records, IReadOnlyList<SftExample> Examples)
{
    public static RecordSet Empty { get; } = new([], []);

    /// <summary>True if answers can be compared with references.</summary>
    public bool HasReferences => Records.Any(r => SftEncoder.Reference(r) is not null);

    /// <summary>Tokenises records; says what was cut or left out.</summary>
    public static RecordSet Encode(
        SftEncoder encoder, IReadOnlyList<DataExample> records, string name, Action<string> note)
    {
        var data = encoder.EncodeAll(records);
        if (data.Truncated > 0)
        {
            note($"{data.Truncated} of {data.Examples.Count} {name} examples are longer than "
                + $"{data.LongestLength} tokens and were cut");
        }
        if (data.Dropped > 0) note($"{data.Dropped} {name} records have nothing to learn and were left out");
        return new RecordSet(records, data.Examples);
    }

    /// <summary>The training set and the held-out set, from one file or two.</summary>
    public static (RecordSet Train, RecordSet HeldOut) Load(
        SettingValues values, SftEncoder encoder, string data, string? evalData, Action<string> note)
    {
        var options = DataSettings.Options(values);
        var records = First(DataFile.Load(data, options), values.Get(DataSettings.MaxSamples));
        IReadOnlyList<DataExample> held;
        if (evalData is not null)
        {
            held = DataFile.Load(evalData, options);
        }
        else
        {
            var (train, heldOut) = Permutation.Split(
                records.Count,
                Share(values.Get(DataSettings.ValSize), records.Count, values.IsGiven(DataSettings.ValSize)),
                values.Get(TrainSettings.Seed));
            held = [.. heldOut.Select(i => records[i])];
            records = [.. train.Select(i => records[i])];
        }
        if (values.Get(DataSettings.MaxEvalSamples) is var most and > 0 && held.Count > most)
        {
            note($"the first {most} of {held.Count} held-out records are scored ({DataSettings.MaxEvalSamples.Flag})");
            held = First(held, most);
        }
        return (Encode(encoder, records, "training", note),
            held.Count == 0 ? Empty : Encode(encoder, held, "held-out", note));
    }

    // A set of one record cannot be split; that is an error only if the split was asked for.
    private static double Share(double size, int count, bool asked)
    {
        if (size >= count)
            throw new UserErrorException(
                $"{DataSettings.ValSize.Flag} must be below the {count} records of the data, but is {size}");
        return !asked && count < 2 ? 0 : size < 1 ? size : size / count;
    }

    private static IReadOnlyList<DataExample> First(IReadOnlyList<DataExample> records, int? count) =>
        count is int most && most < records.Count ? [.. records.Take(most)] : records;
}
