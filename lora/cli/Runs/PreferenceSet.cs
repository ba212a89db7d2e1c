using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Reads, splits and tokenises preference data.</summary>
internal static class PreferenceSet
{
    /// <summary>The training set and the held-out set, from one file or two.</summary>
    /// <param name="values">Which files, how much of them, and the split.</param>
    /// <param name="load">Reads the records of a file.</param>
    /// <param name="encode">Tokenises records.</param>
    /// <param name="note">Told what was cut.</param>
    public static (PreferenceData Train, PreferenceData Held) Load<T>(
        SettingValues values, Func<string, IReadOnlyList<T>> load, Func<IReadOnlyList<T>, PreferenceData> encode,
        Action<string> note)
    {
        var records = First(load(values.Require(PreferenceSettings.Data)), values.Get(DataSettings.MaxSamples));
        IReadOnlyList<T> held;
        if (values.Get(DataSettings.EvalData) is { } evalData)
        {
            held = load(evalData);
        }
        else
        {
            var (train, heldOut) = Permutation.Split(
                records.Count, Share(values, records.Count), values.Get(TrainSettings.Seed));
            held = [.. heldOut.Select(i => records[i])];
            records = [.. train.Select(i => records[i])];
        }
        if (values.Get(DataSettings.MaxEvalSamples) is var most and > 0)
            held = First(held, most);
        return (Encode(records, "training"), held.Count == 0 ? new PreferenceData([], 0) : Encode(held, "held-out"));

        PreferenceData Encode(IReadOnlyList<T> some, string name)
        {
            var data = encode(some);
            if (data.Truncated > 0)
            {
                note($"{data.Truncated} of {data.Examples.Count} {name} responses do not fit in "
                    + $"{values.Get(DataSettings.MaxLength)} tokens or the model's context and were cut");
            }
            return data;
        }
    }

    // Two records are the least that can be held out for every method.
    private static double Share(SettingValues values, int count)
    {
        var size = values.Get(DataSettings.ValSize);
        if (size >= count)
            throw new UserErrorException(
                $"{DataSettings.ValSize.Flag} must be below the {count} records of the data, but is {size}");
        var share = size < 1 ? size : size / count;
        return share == 0 || count < 4 ? 0 : Math.Max(share, 2.0 / count);
    }

    private static IReadOnlyList<T> First<T>(IReadOnlyList<T> records, int? count) =>
        count is int most && most < records.Count ? [.. records.Take(most)] : records;
}
