using System.Text.Json.Nodes;

namespace CudaLora.Cli;

/// <summary>The most a device did in this run: operations and bytes per second; 0 where it is not known.</summary>
internal sealed record BenchCeiling(string Device, double Flops, double Bytes)
{
    /// <summary>The least seconds that so much work takes at the ceilings.</summary>
    public double Least(double flops, double bytes) =>
        Math.Max(Flops > 0 ? flops / Flops : 0, Bytes > 0 ? bytes / Bytes : 0);

    public JsonObject ToJson() => new()
    {
        ["device"] = Device,
        ["flops_per_second"] = Flops,
        ["bytes_per_second"] = Bytes,
    };

    public static BenchCeiling Read(JsonNode json) => new(
        (string)json["device"]!, (double)json["flops_per_second"]!, (double)json["bytes_per_second"]!);
}

/// <summary>One measured case.</summary>
/// <param name="Device">cpu, or the GPU's name.</param>
/// <param name="Group">The case's group.</param>
/// <param name="Name">The case's name.</param>
/// <param name="Seconds">Median time of one call.</param>
/// <param name="Noise">What the median may be off by, as a share of it.</param>
/// <param name="Bytes">Least bytes of one call.</param>
/// <param name="Flops">Operations of one call.</param>
/// <param name="Tokens">Tokens of one call, or 0.</param>
internal sealed record BenchRow(
    string Device, string Group, string Name, double Seconds, double Noise, double Bytes, double Flops, double Tokens)
{
    public string Title => $"{Group}: {Name}";

    /// <summary>The same measurement in another report.</summary>
    public (string, string, string) Key => (Device, Group, Name);

    /// <summary>The share of its time that the ceilings alone would take.</summary>
    public double Share(BenchCeiling ceiling) => ceiling.Least(Flops, Bytes) / Seconds;

    public JsonObject ToJson(BenchCeiling ceiling) => new()
    {
        ["device"] = Device,
        ["group"] = Group,
        ["name"] = Name,
        ["seconds"] = Seconds,
        ["noise"] = Noise,
        ["bytes"] = Bytes,
        ["flops"] = Flops,
        ["tokens"] = Tokens,
        ["bytes_per_second"] = Bytes / Seconds,
        ["flops_per_second"] = Flops / Seconds,
        ["tokens_per_second"] = Tokens / Seconds,
        ["of_ceiling"] = Share(ceiling),
    };

    public static BenchRow Read(JsonNode json) => new(
        (string)json["device"]!, (string)json["group"]!, (string)json["name"]!, (double)json["seconds"]!,
        (double)json["noise"]!, (double)json["bytes"]!, (double)json["flops"]!, (double)json["tokens"]!);
}
