using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>samples.jsonl: the first responses of each step with their rewards, to read what a policy
/// becomes.</summary>
internal sealed class SampleLog(string folder, int perStep = 4) : ITrainerObserver, IDisposable
{
    public const string FileName = "samples.jsonl";

    private StreamWriter? writer;

    // A training that samples nothing leaves no file.
    public void OnStart(TrainingPlan plan)
    {
        var path = Path.Combine(folder, FileName);
        if (File.Exists(path))
            Open(path, plan.FirstStep);
    }

    public void OnSamples(int step, IReadOnlyList<RewardSample> samples, ReadOnlySpan<float> rewards)
    {
        if (writer is null)
            Open(Path.Combine(folder, FileName), firstStep: 0);
        for (var i = 0; i < Math.Min(perStep, samples.Count); i++)
        {
            writer?.WriteLine(new JsonObject
            {
                ["step"] = step,
                ["prompt"] = samples[i].Prompt.Text,
                ["response"] = samples[i].Response,
                ["reward"] = rewards[i],
                ["finished"] = samples[i].IsFinished,
            }.ToJsonString());
        }
    }

    public void Dispose() => writer?.Dispose();

    private void Open(string path, int firstStep)
    {
        try
        {
            Directory.CreateDirectory(folder);
            var kept = firstStep > 0 && File.Exists(path)
                ? File.ReadAllLines(path).Where(row => IsKept(row, firstStep)).ToArray()
                : [];
            writer = new StreamWriter(path, append: false) { AutoFlush = true, NewLine = "\n" };
            foreach (var row in kept) writer.WriteLine(row);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"{path}: cannot be written: {e.Message}", e);
        }
    }

    // A row cut short by a kill is dropped.
    private static bool IsKept(string row, int lastStep)
    {
        try
        {
            return (int)JsonNode.Parse(row)!["step"]! <= lastStep;
        }
        catch (Exception e) when (e is System.Text.Json.JsonException or NullReferenceException or FormatException)
        {
            return false;
        }
    }
}
