using System.Diagnostics;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora generate</c>: one prompt, standard input, or line by line from a person.</summary>
internal sealed class GenerateCommand() : CliCommand(
    "generate", "Continue a prompt, with or without an adapter. Without a prompt it asks for one after the other.",
    [
        new SettingGroup("Model", SharedSettings.BaseModel, AdapterSettings.Adapter),
        new SettingGroup("Text", Prompt, Template, MaxNewTokens, NoStream),
        new SettingGroup("Sampling", Temperature, TopK, TopP, TrainSettings.Seed),
        QuantizeSettings.LoadGroup,
        new SettingGroup("Machine", SharedSettings.Device, SharedSettings.ComputeType, SharedSettings.Threads),
    ],
    [
        "cudalora generate --model models/TinyStories-656K --prompt 'Once upon a time' --temperature 0",
        "cudalora generate --model models/TinyStories-656K --adapter out/alpaca --template plain",
    ])
{
    private static readonly Setting<string?> Prompt = Make.Text(
        "prompt", "The text to go on with", "Once upon a time", free: true, shown: "asked for, or read from a pipe");

    private static readonly Setting<string> Template = Make.Choice(
        "template", "Write the prompt out as a question in this chat template", "none",
        ["none", "auto", .. ChatTemplate.Names]);

    private static readonly Setting<int?> MaxNewTokens = Make.MaybeInt(
        "max_new_tokens", "Longest continuation in tokens", "200", 1, "the model's own, else 128");

    private static readonly Setting<bool> NoStream = Make.Switch("no_stream", "Print the text when it is complete");

    private static readonly Setting<double?> Temperature = Make.MaybeNumber(
        "temperature", "0 takes the likeliest token; higher is more varied", "0.7", "a number of at least 0",
        v => v >= 0,
        "the model's own, else 0.8");

    private static readonly Setting<int?> TopK = Make.MaybeInt(
        "top_k", "Choose among so many likeliest tokens; 0 all", "40", 0, "the model's own, else all");

    private static readonly Setting<double?> TopP = Make.MaybeNumber(
        "top_p", "Choose among the likeliest tokens that together have this probability", "0.9",
        "a number above 0 and at most 1", v => v is > 0 and <= 1, "the model's own, else 0.95");

    protected override int Run(SettingValues values, Terminal terminal)
    {
        using var device = SharedSettings.Apply(values);
        var folder = BundledExample.RequireModel(
            values.Get(SharedSettings.BaseModel), values.Get(AdapterSettings.Adapter));
        var prompt = values.Get(Prompt);
        if (prompt is null && terminal.Input is null)
            throw new UsageException($"{Prompt.Flag} is needed: there is nobody to ask");
        terminal.Error.WriteLine(device);
        using var loaded = LoadedModel.Load(
            folder, values.Get(Template), values.Get(AdapterSettings.Adapter), Note, device.Placement(),
            QuantizeSettings.OfLoad(values));
        var options = Sampling(values, loaded);
        prompt ??= terminal.IsInputPiped ? terminal.Input!.ReadToEnd() : null;
        if (prompt is not null) return Answer(values, terminal, loaded, prompt, options);
        terminal.Error.WriteLine("type a prompt and press Enter; an empty line ends");
        while (true)
        {
            terminal.Error.Write("> ");
            if (terminal.Input!.ReadLine() is not { Length: > 0 } line) return ExitCode.Success;
            try
            {
                Answer(values, terminal, loaded, line, options);
            }
            catch (UserErrorException e)
            {
                terminal.Error.WriteLine($"error: {e.Message}");
            }
            options = options with { Seed = options.Seed + 1 };
        }

        void Note(string message) => terminal.Error.WriteLine($"note: {message}");
    }

    private static int Answer(
        SettingValues values, Terminal terminal, LoadedModel loaded, string prompt, SamplingOptions options)
    {
        using var interrupt = new Interrupt(_ => { });
        var isQuestion = values.Get(Template) != "none";
        var ids = isQuestion
            ? new SftEncoder(loaded.Tokenizer, loaded.Template)
            .EncodePrompt([new ChatMessage(ChatMessage.User, prompt)])
            : loaded.Tokenizer.Encode(prompt);
        var stream = loaded.Tokenizer.Stream(skipSpecial: true, continues: true);
        var live = !values.Get(NoStream);
        var text = isQuestion ? "" : prompt;
        var watch = Stopwatch.StartNew();
        if (live) Write(text);
        var result = loaded.Model.Generate(
            ids, options,
            token =>
            {
                var piece = stream.Append(token);
                text += piece;
                if (live) Write(piece);
            },
            interrupt.Token);
        var rest = stream.Finish();
        terminal.Line(live ? rest : text + rest);
        var why = result.Stop switch
        {
            StopReason.StopId => "the model ended the text",
            StopReason.Length => "max-new-tokens reached",
            StopReason.Context => "the model's context is full",
            _ => "interrupted",
        };
        terminal.Error.WriteLine($"[{result.Tokens.Count} tokens, "
            + $"{Figures.Count(result.Tokens.Count / Math.Max(1e-6, watch.Elapsed.TotalSeconds))} tokens/s; {why}]");
        return result.Stop == StopReason.Cancelled ? ExitCode.Interrupted : ExitCode.Success;

        void Write(string piece)
        {
            terminal.Output.Write(piece);
            terminal.Output.Flush();
        }
    }

    private static SamplingOptions Sampling(SettingValues values, LoadedModel loaded)
    {
        var own = loaded.Model.Generation;
        return new SamplingOptions
        {
            Temperature = values.Get(Temperature) ?? own.Temperature ?? 0.8,
            TopK = values.Get(TopK) ?? own.TopK ?? 0,
            TopP = values.Get(TopP) ?? own.TopP ?? 0.95,
            MaxNewTokens = values.Get(MaxNewTokens) ?? own.MaxNewTokens ?? 128,
            Seed = (ulong)values.Get(TrainSettings.Seed),
            StopIds = values.Get(Template) == "none" ? null : loaded.StopIds,
        };
    }
}
